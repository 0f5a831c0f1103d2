# Warnings, sanitizers, ccache and the fastest linker at hand.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # ccache refuses what includes a precompiled header unless it may overlook __DATE__, __TIME__ and #defines inside it (there are
  # none), and unless GCC names the precompiled file in its output. The base directory lets two clones share the rooms' objects.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_NOHASHDIR=1
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE_PROGRAM})
  add_compile_options(-fpch-preprocess)
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

# -pthread everywhere, as re2 asks for it: a precompiled header serves only files that are compiled with its own flags.
add_compile_options(-pthread)
add_compile_options(-Wall -Wextra -Wshadow -Wconversion)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wno-deprecated-declarations) # GCC 12's own std::stable_sort uses what it deprecates
endif()
# Under a sanitizer GCC 12 warns of memory that is not touched (-Warray-bounds, -Wmaybe-uninitialized in std::string); the release build,
# which has -Werror, compiles the same sources.
if(DEFINED ENV{CI} AND NOT COALMINE_SANITIZE)
  add_compile_options(-Werror)
  # GCC 12 says these falsely of std::string and std::variant once it inlines them, and of other code each time a file changes: said, but no error.
  add_compile_options(-Wno-error=array-bounds -Wno-error=restrict -Wno-error=stringop-overflow
    -Wno-error=maybe-uninitialized)
endif()

if(COALMINE_SANITIZE)
  add_compile_options(-fsanitize=${COALMINE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${COALMINE_SANITIZE})
endif()
if(COALMINE_SANITIZE STREQUAL "thread")
  add_compile_options(-Wno-tsan) # Asio's fences, which GCC cannot instrument
endif()
if(COALMINE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
