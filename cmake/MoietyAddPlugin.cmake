# moiety_add_plugin(<name> KIND gating|expert|optimizer|data|objective SOURCES <file>...)
#
# Builds moiety_<kind>_<name>.so, installs it where the core looks for plugins and, with
# BUILD_TESTING, adds the test conformance.<kind>.<name>. The same call works inside the tree and
# out of it. `.cu` sources build as plain C++, for the CPU only, where CUDA is not enabled.
function(moiety_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NO_CONFORMANCE;NO_INSTALL" "KIND;OUTPUT_DIRECTORY" "SOURCES")
  set(kinds gating expert optimizer data objective)
  if(NOT arg_KIND IN_LIST kinds)
    message(FATAL_ERROR "moiety_add_plugin(${name}): KIND is '${arg_KIND}', expected one of ${kinds}")
  endif()
  set(target moiety_${arg_KIND}_${name})
  add_library(${target} MODULE ${arg_SOURCES})
  if(NOT CMAKE_CUDA_COMPILER)
    set(cuda_sources ${arg_SOURCES})
    list(FILTER cuda_sources INCLUDE REGEX "\\.cu$")
    set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX)
    foreach(source ${cuda_sources})  # g++ does not know the suffix
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-xc++")
    endforeach()
  endif()
  set_target_properties(${target} PROPERTIES
    PREFIX "" CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON CUDA_STANDARD 20
    CUDA_RUNTIME_LIBRARY Shared CUDA_SEPARABLE_COMPILATION OFF)
  if(arg_OUTPUT_DIRECTORY)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${arg_OUTPUT_DIRECTORY})
  elseif(MOIETY_PLUGIN_OUTPUT_DIRECTORY)
    set_target_properties(${target} PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY ${MOIETY_PLUGIN_OUTPUT_DIRECTORY})
  endif()
  if(CMAKE_CUDA_COMPILER)
    string(REPLACE ";" "," sm "${CMAKE_CUDA_ARCHITECTURES}")
    target_compile_definitions(${target} PRIVATE MOIETY_PLUGIN_SM="${sm}")
  endif()
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_link_libraries(${target} PRIVATE Moiety::core)
  target_link_options(${target} PRIVATE LINKER:--no-undefined
    LINKER:--version-script=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  if(NOT arg_NO_INSTALL)
    include(GNUInstallDirs)
    install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/moiety/plugins)
  endif()
  if(BUILD_TESTING AND NOT arg_NO_CONFORMANCE)
    add_test(NAME conformance.${arg_KIND}.${name}
             COMMAND Moiety::moiety plugins check $<TARGET_FILE:${target}>)
    set_tests_properties(conformance.${arg_KIND}.${name} PROPERTIES LABELS conformance)
  endif()
endfunction()
