# Embeds web/dist into the binary: one assembler file that includes each file's bytes, and a table of them. Runs at every build, so
# that a page built again is embedded again.
set(COALMINE_ASSETS_DIR ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${COALMINE_ASSETS_DIR})
file(GLOB_RECURSE COALMINE_PAGE CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/dist/*)
enable_language(ASM)
set(blobs "")
set(externs "")
set(rows "")
set(index 0)
foreach(file ${COALMINE_PAGE})
  file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/web/dist ${file})
  file(SHA256 ${file} hash)
  string(APPEND blobs ".global coalmine_asset_${index}\n.global coalmine_asset_${index}_end\ncoalmine_asset_${index}:\n.incbin \"${file}\"\ncoalmine_asset_${index}_end:\n.byte 0\n")
  string(APPEND externs "extern \"C\" const char coalmine_asset_${index}[];\nextern \"C\" const char coalmine_asset_${index}_end[];\n")
  string(APPEND rows "      {\"/${name}\", {coalmine_asset_${index}, static_cast<std::size_t>(coalmine_asset_${index}_end - coalmine_asset_${index})}, \"\\\"${hash}\\\"\"},\n")
  math(EXPR index "${index} + 1")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
endforeach()
file(CONFIGURE OUTPUT ${COALMINE_ASSETS_DIR}/assets.S CONTENT ".section .rodata\n${blobs}.section .note.GNU-stack,\"\",%progbits\n" @ONLY)
file(CONFIGURE OUTPUT ${COALMINE_ASSETS_DIR}/assets.cc CONTENT "// Generated from web/dist.
#include \"serve/assets.h\"
#include <vector>
${externs}
namespace coalmine::serve {
std::span<const Asset> assets() {
  static const std::vector<Asset> all = {
${rows}  };
  return all;
}
} // namespace coalmine::serve
" @ONLY)
target_sources(coalmine_serve PRIVATE ${COALMINE_ASSETS_DIR}/assets.S ${COALMINE_ASSETS_DIR}/assets.cc)
