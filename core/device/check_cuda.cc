// The texts of failed CUDA and cuBLAS calls.
#include <string>

#include <fmt/format.h>

#include <moiety/error.h>

#include "core/base/log.h"
#include "core/device/cuda_check.h"

namespace moiety::cuda {

namespace {

std::string text_of(cudaError_t result, const char* expression, const char* file, int line) {
  std::string advice;
  if (result == cudaErrorStreamCaptureUnsupported || result == cudaErrorStreamCaptureInvalidated) {
    advice = "; this is not allowed while a graph is captured (run.graph=off runs the stream)";
  }
  return fmt::format("{}:{}: {} failed: {} ({}){}", file, line, expression,
                     cudaGetErrorName(result), cudaGetErrorString(result), advice);
}

std::string text_of(cublasStatus_t result, const char* expression, const char* file, int line) {
  return fmt::format("{}:{}: {} failed: {}", file, line, expression, cublasGetStatusString(result));
}

void log_quietly(const std::string& text) noexcept {
  try {
    log::warning(text);
  } catch (...) {  // NOLINT: a destructor has nobody to tell
  }
}

}  // namespace

void check(cudaError_t result, const char* expression, const char* file, int line) {
  if (result == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // so that the next call does not report it again
  throw Error(text_of(result, expression, file, line));
}

void check(cublasStatus_t result, const char* expression, const char* file, int line) {
  if (result != CUBLAS_STATUS_SUCCESS) throw Error(text_of(result, expression, file, line));
}

void warn(cudaError_t result, const char* expression, const char* file, int line) noexcept {
  if (result == cudaSuccess || result == cudaErrorCudartUnloading) return;
  log_quietly(text_of(result, expression, file, line));
}

void warn(cublasStatus_t result, const char* expression, const char* file, int line) noexcept {
  if (result == CUBLAS_STATUS_SUCCESS) return;
  log_quietly(text_of(result, expression, file, line));
}

}  // namespace moiety::cuda
