// The order of choices on a GPU: histograms in shared memory, a scan over the blocks, ranks within
// a warp.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

#if defined(__CUDACC__)

namespace moiety::ops {

inline constexpr int64_t kMostOrderedExperts = 1024;
inline constexpr int kOrderWarps = 8, kOrderRounds = 4;
inline constexpr int kOrderThreads = 32 * kOrderWarps;
inline constexpr int kOrderBlock = kOrderThreads * kOrderRounds;  // choices

/// A thread's choice number `round`: warps take stretches, lanes neighbours.
__device__ inline int64_t ordered_choice(int round) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  return int64_t{blockIdx.x} * kOrderBlock + (warp * kOrderRounds + round) * 32 + lane;
}

/// counts [blocks, E].
template <class Key>
__global__ void count_choices_kernel(Key key, int64_t n, int E, int32_t* counts) {
  __shared__ int32_t mine[kMostOrderedExperts];
  for (int e = static_cast<int>(threadIdx.x); e < E; e += kOrderThreads) mine[e] = 0;
  __syncthreads();
#pragma unroll
  for (int round = 0; round < kOrderRounds; ++round) {
    const int64_t i = ordered_choice(round);
    const int32_t e = i < n ? key(i) : -1;
    if (e >= 0) atomicAdd(&mine[e], 1);  // integers: any order gives the same sum
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < E; e += kOrderThreads) {
    counts[int64_t{blockIdx.x} * E + e] = mine[e];
  }
}

template <class Key, class Sink>
__global__ void place_choices_kernel(Key key, Sink sink, int64_t n, int E, const int32_t* before) {
  extern __shared__ int32_t next[];  // [kOrderWarps, E]
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = static_cast<int>(threadIdx.x); i < kOrderWarps * E; i += kOrderThreads) next[i] = 0;
  __syncthreads();
  int32_t expert[kOrderRounds], place[kOrderRounds];
  int32_t* mine = next + warp * E;
#pragma unroll
  for (int round = 0; round < kOrderRounds; ++round) {
    const int64_t i = ordered_choice(round);
    const int32_t e = i < n ? key(i) : -1;
    const unsigned same = __match_any_sync(0xffffffffu, e);
    const int rank = __popc(same & ((1u << lane) - 1u));
    const int32_t earlier = e >= 0 ? mine[e] : 0;
    __syncwarp();
    if (e >= 0 && rank == 0) mine[e] = earlier + __popc(same);
    __syncwarp();
    expert[round] = e, place[round] = earlier + rank;
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < E; e += kOrderThreads) {
    int32_t sum = before[int64_t{blockIdx.x} * E + e];
    for (int w = 0; w < kOrderWarps; ++w) {
      const int32_t here = next[w * E + e];
      next[w * E + e] = sum;
      sum += here;
    }
  }
  __syncthreads();
#pragma unroll
  for (int round = 0; round < kOrderRounds; ++round) {
    const int64_t i = ordered_choice(round);
    const int32_t e = expert[round];
    if (i < n) sink(i, e, e >= 0 ? mine[e] + place[round] : -1);
  }
}

/// counts [blocks, E] becomes the number before each block, total [E] the sum over blocks, start
/// [E] the sum of total before each expert.
void scan_choices(cudaStream_t stream, int64_t blocks, int E, int32_t* counts, int32_t* total,
                  int32_t* start);

template <class Key, class Sink>
void order_choices_cuda(Exec& exec, int64_t n, int64_t E, const Key& key, const Sink& sink,
                        int32_t* count, int32_t* start) {
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const int64_t blocks = (n + kOrderBlock - 1) / kOrderBlock;
  const auto grid = static_cast<unsigned>(blocks);
  const int experts = static_cast<int>(E);
  int32_t* counts = exec.scratch(DType::kI32, {blocks, E}).data<int32_t>();
  if (blocks > 0) count_choices_kernel<<<grid, kOrderThreads, 0, stream>>>(key, n, experts, counts);
  if (E == 0) return;
  scan_choices(stream, blocks, experts, counts, count, start);
  if (blocks == 0) return;
  const size_t shared = sizeof(int32_t) * kOrderWarps * static_cast<size_t>(E);
  place_choices_kernel<<<grid, kOrderThreads, shared, stream>>>(key, sink, n, experts, counts);
}

}  // namespace moiety::ops

#endif
