// One functor for the CPU and the GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/exec.h>

namespace moiety {

#if defined(__CUDACC__)
template <class F>
__global__ void rows_kernel(int64_t n, F f) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t r = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; r < n; r += step) f(r);
}
#endif

/// Calls f(row) for every row on the device of exec. F is a struct with a MOIETY_HD operator().
template <class F>
void for_each_row(Exec& exec, int64_t rows, const F& f) {
  if (rows == 0) return;
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    constexpr int kBlock = 128;
    const int grid = static_cast<int>((rows + kBlock - 1) / kBlock);
    rows_kernel<<<grid, kBlock, 0, static_cast<cudaStream_t>(exec.stream())>>>(rows, f);
    return;
  }
#endif
  exec.cpu_rows(
      rows, [](const void* c, int64_t r) { (*static_cast<const F*>(c))(r); }, &f);
}

}  // namespace moiety
