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

/// counts becomes the number before each block, total [E] their sum. Blocks of 32 x 32 threads: 32
/// experts, and a 32nd of the blocks each.
__global__ inline void scan_choices_kernel(int32_t* counts, int32_t* total, int64_t blocks, int E) {
  __shared__ int32_t of_part[32][33];
  const int e = static_cast<int>(blockIdx.x) * 32 + static_cast<int>(threadIdx.x);
  const int64_t part = (blocks + 31) / 32, begin = threadIdx.y * part;
  const int64_t end = begin + part < blocks ? begin + part : blocks;
  int32_t sum = 0;
  if (e < E) {
#pragma unroll 4
    for (int64_t b = begin; b < end; ++b) sum += counts[b * E + e];
  }
  of_part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (e >= E) return;
  int32_t before = 0, all = 0;
  for (int y = 0; y < 32; ++y) {
    if (y == static_cast<int>(threadIdx.y)) before = all;
    all += of_part[y][threadIdx.x];
  }
  for (int64_t b = begin; b < end; ++b) {
    const int32_t here = counts[b * E + e];
    counts[b * E + e] = before;
    before += here;
  }
  if (threadIdx.y == 0) total[e] = all;
}

/// start[e] = the sum of count before e, by one block.
__global__ inline void scan_experts_kernel(const int32_t* count, int32_t* start, int E) {
  __shared__ int32_t of_warp[32];
  const int e = static_cast<int>(threadIdx.x), lane = e % 32, warp = e / 32;
  const int32_t mine = e < E ? count[e] : 0;
  int32_t sum = mine;
  for (int offset = 1; offset < 32; offset *= 2) {
    const int32_t other = __shfl_up_sync(0xffffffffu, sum, offset);
    if (lane >= offset) sum += other;
  }
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += of_warp[w];
  if (e < E) start[e] = sum - mine;
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
  scan_choices_kernel<<<static_cast<unsigned>((E + 31) / 32), dim3(32, 32), 0, stream>>>(
      counts, count, blocks, experts);
  scan_experts_kernel<<<1, kMostOrderedExperts, 0, stream>>>(count, start, experts);
  if (blocks == 0) return;
  const size_t shared = sizeof(int32_t) * kOrderWarps * static_cast<size_t>(E);
  place_choices_kernel<<<grid, kOrderThreads, shared, stream>>>(key, sink, n, experts, counts);
}

}  // namespace moiety::ops

#endif
