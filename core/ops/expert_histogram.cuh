// How often a plan names each expert, on a GPU: a histogram a block, then the blocks in order.
#pragma once

#include <cstdint>

#include <moiety/gating_policy.h>

#include "core/ops/column_sums.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

inline constexpr int64_t kMostHistogramExperts = 4096;

/// Choices of tokens [begin, end), dropped or not, added to all [E] in shared memory; and the
/// dropped ones alone to dropped_ones [E], unless null.
__device__ inline void count_choices(Rows<const int32_t> index, int64_t begin, int64_t end,
                                     int64_t K, int32_t* all, int32_t* dropped_ones) {
  for (int64_t i = begin * K + threadIdx.x; i < end * K; i += blockDim.x) {
    const int32_t code = index[i / K][i % K], e = choice(code);
    if (e < 0) continue;
    atomicAdd(&all[e], 1);  // integers: any order gives the same sum
    if (dropped_ones != nullptr && code < 0) atomicAdd(&dropped_ones[e], 1);
  }
}

/// partial [blocks, E].
__global__ inline void expert_histogram_kernel(Rows<const int32_t> index, int64_t T, int64_t K,
                                               int64_t E, int64_t piece, float* partial) {
  __shared__ int32_t counts[kMostHistogramExperts];
  for (int64_t e = threadIdx.x; e < E; e += blockDim.x) counts[e] = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * piece, end = begin + piece < T ? begin + piece : T;
  count_choices(index, begin, end, K, counts, nullptr);
  __syncthreads();
  for (int64_t e = threadIdx.x; e < E; e += blockDim.x) {
    partial[blockIdx.x * E + e] = static_cast<float>(counts[e]);
  }
}

inline void expert_histogram(Exec& exec, Rows<const int32_t> index, int64_t T, int64_t K, int64_t E,
                             float* out) {
  const int64_t piece = rows_of_column_piece(T), pieces = (T + piece - 1) / piece;
  float* partial = exec.scratch(DType::kF32, {pieces, E}).data<float>();
  if (E == 0) return;
  if (pieces > 0) {
    expert_histogram_kernel<<<static_cast<unsigned>(pieces), kColumnThreads, 0,
                              static_cast<cudaStream_t>(exec.stream())>>>(index, T, K, E, piece,
                                                                          partial);
  }
  add_pieces_of_columns(exec, partial, pieces, E, StoreColumn{out, false});
}

}  // namespace moiety::ops

#endif
