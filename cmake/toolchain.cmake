# Warnings, sanitizers, ccache and the fastest linker at hand.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wconversion)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wno-deprecated-declarations) # GCC 12's own std::stable_sort uses what it deprecates
endif()
if(DEFINED ENV{CI})
  add_compile_options(-Werror)
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
