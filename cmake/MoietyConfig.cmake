# find_package(Moiety CONFIG): Moiety::core, Moiety::moiety and moiety_add_plugin().
include(${CMAKE_CURRENT_LIST_DIR}/MoietyTargets.cmake)
if(CMAKE_CUDA_COMPILER)
  include(${CMAKE_CURRENT_LIST_DIR}/MoietyCudaStandard.cmake)
endif()
include(${CMAKE_CURRENT_LIST_DIR}/MoietyAddPlugin.cmake)
