// How attention's kernels are launched: one block a tile, all its shared memory asked for.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <utility>

#include <moiety/exec.h>

namespace moiety::ops::cuda {

inline void check_attention(cudaError_t status, const char* kernel) {
  if (status == cudaSuccess) return;
  throw Error(std::string(kernel) + ": the kernel was not launched: " + cudaGetErrorString(status));
}

/// kernel<<<blocks, threads, floats * 4>>>(arguments...). Blocks lie along x alone: 2^31 - 1 fit.
template <class... Parameters, class... Arguments>
void launch_tiles(Exec& exec, const char* name, void (*kernel)(Parameters...), int64_t blocks,
                  int threads, int floats, Arguments&&... arguments) {
  const int bytes = floats * static_cast<int>(sizeof(float));
  if (blocks > 0x7fffffff) throw Error(std::string(name) + ": more tiles than a grid can hold");
  check_attention(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                       cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
                  name);
  kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(threads),
           static_cast<size_t>(bytes), static_cast<cudaStream_t>(exec.stream())>>>(
      std::forward<Arguments>(arguments)...);
  check_attention(cudaGetLastError(), name);
}

}  // namespace moiety::ops::cuda
