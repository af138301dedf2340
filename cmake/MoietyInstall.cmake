# The binary, the core library, the SDK headers, and what find_package(Moiety) needs.
include(CMakePackageConfigHelpers)
set_target_properties(moiety_core PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS moiety_core EXPORT MoietyTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS moiety EXPORT MoietyTargets RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY core/include/moiety DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Moiety)
install(EXPORT MoietyTargets NAMESPACE Moiety:: DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/MoietyConfigVersion.cmake
                                 COMPATIBILITY SameMajorVersion)
install(FILES cmake/MoietyConfig.cmake cmake/MoietyAddPlugin.cmake cmake/MoietyCudaStandard.cmake
              cmake/plugin.map ${PROJECT_BINARY_DIR}/MoietyConfigVersion.cmake
        DESTINATION ${package_dir})
