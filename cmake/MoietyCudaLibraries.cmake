# What the CUDA build takes beside the toolkit, if it is there: header-only libraries from
# -DCUTLASS_ROOT= and -DCUDNN_FRONTEND_ROOT=, else third_party/ (scripts/setup.sh --cuda), and cuDNN.
# Without them the core's own kernels serve.
set(MOIETY_HAS_CUDNN OFF)
set_property(GLOBAL APPEND PROPERTY JOB_POOLS heavy=1)  # for targets whose compilers need gigabytes

# Defines `target` where `probe` is found; imported, so its headers give no warnings.
function(_moiety_header_library target root folder probe)
  find_path(${root}_INCLUDE_DIR ${probe} HINTS ${${root}} ENV ${root}
            ${PROJECT_SOURCE_DIR}/third_party/${folder} PATH_SUFFIXES include NO_CMAKE_SYSTEM_PATH)
  if(${root}_INCLUDE_DIR)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} INTERFACE ${${root}_INCLUDE_DIR})
  endif()
endfunction()

if(MOIETY_HAS_CUDA)
  _moiety_header_library(moiety::cutlass CUTLASS_ROOT cutlass cutlass/version.h)
  if(TARGET moiety::cutlass)
    target_compile_options(moiety::cutlass INTERFACE
      $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
  endif()

  _moiety_header_library(moiety::cudnn_frontend CUDNN_FRONTEND_ROOT cudnn_frontend cudnn_frontend.h)
  find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT ${CUDAToolkit_INCLUDE_DIRS}
            PATH_SUFFIXES include)
  find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT
               ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib lib64)
  if(NOT TARGET moiety::cudnn_frontend)
    message(STATUS "cuDNN: off, cudnn-frontend's headers were not found (scripts/setup.sh --cuda); "
                   "attention uses the core's own kernels")
  elseif(NOT CUDNN_INCLUDE_DIR OR NOT CUDNN_LIBRARY)
    message(STATUS "cuDNN: off, cudnn.h and libcudnn were not found; attention uses the core's own "
                   "kernels")
  else()
    set(MOIETY_HAS_CUDNN ON)
    message(STATUS "cuDNN: on, ${CUDNN_LIBRARY}")
    # JSON only serialises graphs, and doubles the compiler's time and memory.
    target_compile_definitions(moiety::cudnn_frontend INTERFACE CUDNN_FRONTEND_SKIP_JSON_LIB)
    target_include_directories(moiety::cudnn_frontend INTERFACE ${CUDNN_INCLUDE_DIR})
    target_link_libraries(moiety::cudnn_frontend INTERFACE ${CUDNN_LIBRARY} CUDA::nvrtc CUDA::cudart)
  endif()
endif()
