// Checks of CUDA and cuBLAS calls. The text names the expression, the place and the error. May be
// included from .cu files: no fmt here.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

namespace moiety::cuda {

/// Throw Error unless the call succeeded.
void check(cudaError_t result, const char* expression, const char* file, int line);
void check(cublasStatus_t result, const char* expression, const char* file, int line);
/// Log a warning instead: for destructors. Silent while the process ends.
void warn(cudaError_t result, const char* expression, const char* file, int line) noexcept;
void warn(cublasStatus_t result, const char* expression, const char* file, int line) noexcept;

}  // namespace moiety::cuda

#define MOIETY_CUDA_CHECK(expression) \
  ::moiety::cuda::check((expression), #expression, __FILE__, __LINE__)
#define MOIETY_CUBLAS_CHECK(expression) MOIETY_CUDA_CHECK(expression)
#define MOIETY_CUDA_WARN(expression) \
  ::moiety::cuda::warn((expression), #expression, __FILE__, __LINE__)
