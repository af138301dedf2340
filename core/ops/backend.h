// How an op reaches its backend. x.h declares, x.cc checks and dispatches, x_cpu.cc and x_cuda.cu
// compute. Functors that serve both devices live in one x.cu, built as C++ where there is no nvcc.
//
//   void softmax(Exec& exec, ...) { check(...); MOIETY_BACKEND(exec, softmax, exec, ...); }
//
// calls ops::cuda::softmax or ops::cpu::softmax. Without CUDA the first is never referenced.
#pragma once

#include <moiety/exec.h>

#include "core/device/build.h"

#define MOIETY_BACKEND(exec, function, ...)                     \
  do {                                                          \
    if constexpr (::moiety::kCuda) {                            \
      if ((exec).is_cuda()) return cuda::function(__VA_ARGS__); \
    }                                                           \
    return cpu::function(__VA_ARGS__);                          \
  } while (false)
