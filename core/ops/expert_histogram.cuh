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

/// out f32 [E] = how often index i32 [T, K] names each expert, dropped or not. E at most
/// kMostHistogramExperts.
void expert_histogram(Exec& exec, Rows<const int32_t> index, int64_t T, int64_t K, int64_t E,
                      float* out);

}  // namespace moiety::ops

#endif
