# Embeds web/dist into the binary: one assembler file that includes each file's bytes, and a table of them. Configured again whenever
# a file of the page changes; the hashes in the assembler file make it be assembled again even when only bytes changed.
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
  set(symbol coalmine_asset_${index})
  string(APPEND blobs "/* ${hash} */\n.global ${symbol}\n.global ${symbol}_end\n${symbol}:\n.incbin \"${file}\"\n${symbol}_end:\n.byte 0\n")
  string(APPEND externs "extern \"C\" const char ${symbol}[];\nextern \"C\" const char ${symbol}_end[];\n")
  string(APPEND rows "      {\"/${name}\", {${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})}, \"\\\"${hash}\\\"\"},\n")
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
