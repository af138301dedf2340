# moiety_add_plugin(<name> KIND gating|expert|optimizer|data|objective SOURCES <file>...
#                   [LICENSE <id>] [OUTPUT_DIRECTORY <folder>] [NO_CONFORMANCE] [NO_INSTALL])
#
# Builds moiety_<kind>_<name>.so, installs it where the core looks for plugins and, where tests are
# on, adds the test conformance.<kind>.<name>. The same call works inside the tree and out of it.
# LICENSE is shown by `moiety plugins show`; its default is the variable MOIETY_PLUGIN_LICENSE.
# `.cu` sources build as plain C++, for the CPU only, where CUDA is not enabled. A plugin without a
# `.cu` source calls moiety::ops alone and runs wherever the core does.

# What the stamp says about device code, from CMAKE_CUDA_ARCHITECTURES: 90 is 90+ptx, 90-real is 90,
# 90-virtual is 90+ptx; native, all and all-major cover what they were built on.
function(_moiety_stamp_architectures out)
  set(list "")
  foreach(architecture ${CMAKE_CUDA_ARCHITECTURES})
    if(architecture MATCHES "^([0-9]+[a-z]?)-real$")
      list(APPEND list ${CMAKE_MATCH_1})
    elseif(architecture MATCHES "^([0-9]+)(-virtual)?$")
      list(APPEND list ${CMAKE_MATCH_1}+ptx)
    elseif(architecture MATCHES "^[0-9]")
      list(APPEND list ${architecture})
    else()
      set(list native)
      break()
    endif()
  endforeach()
  string(REPLACE ";" "," list "${list}")
  set(${out} "${list}" PARENT_SCOPE)
endfunction()

# Makes g++ take `.cu` files, whose suffix it does not know.
function(_moiety_build_as_cxx)
  foreach(source ${ARGN})
    set_source_files_properties(${source} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  endforeach()
endfunction()

function(moiety_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NO_CONFORMANCE;NO_INSTALL"
                        "KIND;LICENSE;OUTPUT_DIRECTORY" "SOURCES")
  set(kinds gating expert optimizer data objective)
  if(NOT arg_KIND IN_LIST kinds)
    message(FATAL_ERROR "moiety_add_plugin(${name}): KIND is '${arg_KIND}', expected one of ${kinds}")
  endif()
  if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
    message(FATAL_ERROR "moiety_add_plugin(${name}): expected a name like_this")
  endif()
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moiety_add_plugin(${name}): expected SOURCES <file>..., "
                        "did not understand '${arg_UNPARSED_ARGUMENTS}'")
  endif()

  set(target moiety_${arg_KIND}_${name})
  add_library(${target} MODULE ${arg_SOURCES})
  set(cuda_sources ${arg_SOURCES})
  list(FILTER cuda_sources INCLUDE REGEX "\\.cu$")
  set(architectures any)
  if(cuda_sources AND CMAKE_CUDA_COMPILER)
    _moiety_stamp_architectures(architectures)
    string(REGEX MATCH "^[0-9]+\\.[0-9]+" cuda_version "${CMAKE_CUDA_COMPILER_VERSION}")
    target_compile_definitions(${target} PRIVATE MOIETY_PLUGIN_CUDA="${cuda_version}")
  elseif(cuda_sources)
    set(architectures none)
    _moiety_build_as_cxx(${cuda_sources})
  endif()
  target_compile_definitions(${target} PRIVATE MOIETY_PLUGIN_SM="${architectures}")
  if(NOT arg_LICENSE)
    set(arg_LICENSE ${MOIETY_PLUGIN_LICENSE})
  endif()
  if(arg_LICENSE)
    target_compile_definitions(${target} PRIVATE MOIETY_PLUGIN_LICENSE="${arg_LICENSE}")
  endif()

  set_target_properties(${target} PROPERTIES
    PREFIX "" SUFFIX ".so" CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON CUDA_STANDARD 20
    CUDA_RUNTIME_LIBRARY Shared CUDA_SEPARABLE_COMPILATION OFF)
  if(arg_OUTPUT_DIRECTORY)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${arg_OUTPUT_DIRECTORY})
  elseif(MOIETY_PLUGIN_OUTPUT_DIRECTORY)
    set_property(GLOBAL APPEND PROPERTY MOIETY_PLUGINS ${target})
    set_target_properties(${target} PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY ${MOIETY_PLUGIN_OUTPUT_DIRECTORY})
  endif()
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_link_libraries(${target} PRIVATE Moiety::core)
  # An SDK function that does not exist is the author's link error, not the user's load error.
  target_link_options(${target} PRIVATE LINKER:--no-undefined
    LINKER:--version-script=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  set_property(TARGET ${target} APPEND PROPERTY
    LINK_DEPENDS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)

  if(NOT arg_NO_INSTALL)
    install(TARGETS ${target} LIBRARY DESTINATION lib/moiety/plugins)
  endif()
  if((BUILD_TESTING OR MOIETY_TESTS) AND NOT arg_NO_CONFORMANCE)
    add_test(NAME conformance.${arg_KIND}.${name}
             COMMAND Moiety::moiety plugins check $<TARGET_FILE:${target}>)
    set_tests_properties(conformance.${arg_KIND}.${name} PROPERTIES LABELS conformance)
  endif()
endfunction()
