// A sum along each row, on either device: one warp a row on CUDA, one loop a row on the CPU.
#pragma once

#include <cstdint>

#include <moiety/rows.cuh>

namespace moiety {

#if defined(__CUDACC__)
template <class Term, class Store>
__global__ void row_sum_kernel(int64_t rows, int64_t width, Term term, Store store) {
  const int64_t warp = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (warp >= rows || !term.used(warp)) return;  // whole warps leave together
  float sum = 0;
  for (int64_t i = lane; i < width; i += 32) sum += term(warp, i);
  for (int offset = 16; offset > 0; offset /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  }
  if (lane == 0) store(warp, sum);
}
#endif

/// store(row, sum over i < width of term(row, i)) for every row with term.used(row). Both are
/// structs with MOIETY_HD members. The order of the sum is fixed for a device and a width.
template <class Term, class Store>
struct RowSum {
  Term term;
  Store store;
  int64_t width;
  MOIETY_HD void operator()(int64_t row) const {
    if (!term.used(row)) return;
    float lanes[8] = {};
    int64_t i = 0;
    for (; i + 8 <= width; i += 8) {
      for (int lane = 0; lane < 8; ++lane) lanes[lane] += term(row, i + lane);
    }
    for (; i < width; ++i) lanes[0] += term(row, i);
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    store(row, sum);
  }
};

template <class Term, class Store>
void for_each_row_sum(Exec& exec, int64_t rows, int64_t width, const Term& term,
                      const Store& store) {
  if (rows == 0) return;
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    constexpr int kBlock = 128;
    const int grid = static_cast<int>((rows * 32 + kBlock - 1) / kBlock);
    row_sum_kernel<<<grid, kBlock, 0, static_cast<cudaStream_t>(exec.stream())>>>(rows, width, term,
                                                                                  store);
    return;
  }
#endif
  for_each_row(exec, rows, RowSum<Term, Store>{term, store, width});
}

}  // namespace moiety
