# moiety_embed_files(<output.cc> <root> <folder/file>...): writes a source file that defines
# moiety::apps::embedded_files() with the names and texts of the files. Written again when one
# changes.
function(moiety_embed_files output root)
  set(entries "")
  foreach(file ${ARGN})
    file(READ ${root}/${file} text)
    string(APPEND entries "    {\"${file}\", R\"~embed~(${text})~embed~\"},\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${file})
  endforeach()
  set(source "// Written by CMake from ${root}.
#include \"apps/plugin_template.h\"

namespace moiety::apps {
namespace {

constexpr std::pair<std::string_view, std::string_view> kFiles[] = {
${entries}};

}  // namespace

std::span<const std::pair<std::string_view, std::string_view>> embedded_files() { return kFiles; }

}  // namespace moiety::apps
")
  set(written "")
  if(EXISTS ${output})
    file(READ ${output} written)
  endif()
  if(NOT written STREQUAL source)  # an untouched file is not compiled again
    file(WRITE ${output} "${source}")
  endif()
endfunction()
