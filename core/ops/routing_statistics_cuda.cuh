// A layer's routing statistics on a GPU in one pass over its logits and choices: a warp a token,
// sums of pieces of tokens, then the pieces in order.
#pragma once

#include <cstdint>

#include "core/ops/expert_histogram.cuh"
#include "core/ops/routing.h"

#if defined(__CUDACC__)

namespace moiety::ops {

inline constexpr int64_t kMostStatisticsExperts = 512;
inline constexpr int64_t kStatisticsPiece = 64;  // tokens
inline constexpr int kStatisticsWarps = kColumnThreads / 32;

struct RoutingRows {
  Rows<const float> logits;
  const uint8_t* mask;  // or null
  Rows<const int32_t> index;
  int64_t T, E, K;  // K = 0: choices are counted elsewhere
  int64_t piece;
};

__device__ inline float warp_sum(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

__device__ inline float warp_max(float x) {
  for (int offset = 16; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  }
  return x;
}

/// partial [pieces, 3 E + 2]: chosen, dropped, probability, entropy, tokens. kPer columns a lane.
template <int kPer>
__global__ void routing_statistics_kernel(RoutingRows rows, float* partial) {
  extern __shared__ int32_t shared[];  // chosen [E], dropped [E], probability [warps, E]
  const int64_t E = rows.E;
  int32_t *chosen = shared, *dropped_ones = chosen + E;
  auto* probability = reinterpret_cast<float*>(dropped_ones + E);
  __shared__ float of_warp[2][kStatisticsWarps];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t e = threadIdx.x; e < 2 * E; e += blockDim.x) shared[e] = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * rows.piece;
  const int64_t end = begin + rows.piece < rows.T ? begin + rows.piece : rows.T;
  if (rows.K > 0) count_choices(rows.index, begin, end, rows.K, chosen, dropped_ones);
  float sums[kPer] = {}, entropy = 0, tokens = 0;
#pragma unroll 2
  for (int64_t t = begin + warp; t < end; t += kStatisticsWarps) {
    if (rows.mask != nullptr && rows.mask[t] == 0) continue;
    const float* z = rows.logits[t];
    float p[kPer], top = -INFINITY, sum = 0;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      p[j] = lane + 32 * j < E ? z[lane + 32 * j] : -INFINITY;
      top = fmaxf(top, p[j]);
    }
    top = warp_max(top);
#pragma unroll
    for (int j = 0; j < kPer; ++j) sum += p[j] = lane + 32 * j < E ? expf(p[j] - top) : 0;
    sum = warp_sum(sum);
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      const float share = p[j] / sum;
      sums[j] += share;
      entropy -= share > 0 ? share * logf(share) : 0.f;
    }
    tokens += 1;
  }
  entropy = warp_sum(entropy);
  if (lane == 0) of_warp[0][warp] = entropy, of_warp[1][warp] = tokens;
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    if (lane + 32 * j < E) probability[warp * E + lane + 32 * j] = sums[j];
  }
  __syncthreads();
  float* out = partial + blockIdx.x * (3 * E + 2);
  for (int64_t e = threadIdx.x; e < E; e += blockDim.x) {
    float sum = 0;
    for (int w = 0; w < kStatisticsWarps; ++w) sum += probability[w * E + e];
    out[e] = static_cast<float>(chosen[e]);
    out[E + e] = static_cast<float>(dropped_ones[e]);
    out[2 * E + e] = sum;
  }
  if (threadIdx.x < 2) {
    float sum = 0;
    for (int w = 0; w < kStatisticsWarps; ++w) sum += of_warp[threadIdx.x][w];
    out[3 * E + threadIdx.x] = sum;
  }
}

struct AddStatistics {
  float *chosen, *dropped, *probability, *entropy, *tokens;
  int64_t E;
  __device__ void operator()(int64_t i, double sum) const {
    float* to = i < E        ? chosen + i
                : i < 2 * E  ? dropped + (i - E)
                : i < 3 * E  ? probability + (i - 2 * E)
                : i == 3 * E ? entropy
                             : tokens;
    *to = static_cast<float>(static_cast<double>(*to) + sum);
  }
};

template <int kPer>
void routing_statistics_by_warps(Exec& exec, const RoutingRows& rows, int64_t pieces,
                                 float* partial) {
  const size_t shared = 4 * static_cast<size_t>(rows.E) * (2 + kStatisticsWarps);
  routing_statistics_kernel<kPer><<<static_cast<unsigned>(pieces), kColumnThreads, shared,
                                    static_cast<cudaStream_t>(exec.stream())>>>(rows, partial);
}

inline void routing_statistics_cuda(Exec& exec, RoutingRows rows, const RoutingSums& sums) {
  const int64_t T = rows.T, E = rows.E;
  if (T == 0) return;
  const int64_t least = (T + 1023) / 1024;
  rows.piece = least > kStatisticsPiece ? least : kStatisticsPiece;
  const int64_t pieces = (T + rows.piece - 1) / rows.piece;
  float* partial = exec.scratch(DType::kF32, {pieces, 3 * E + 2}).data<float>();
  if (E <= 32) {
    routing_statistics_by_warps<1>(exec, rows, pieces, partial);
  } else if (E <= 64) {
    routing_statistics_by_warps<2>(exec, rows, pieces, partial);
  } else if (E <= 128) {
    routing_statistics_by_warps<4>(exec, rows, pieces, partial);
  } else if (E <= 256) {
    routing_statistics_by_warps<8>(exec, rows, pieces, partial);
  } else {
    routing_statistics_by_warps<16>(exec, rows, pieces, partial);
  }
  add_pieces_of_columns(exec, partial, pieces, 3 * E + 2,
                        AddStatistics{sums.chosen.data<float>(), sums.dropped.data<float>(),
                                      sums.probability.data<float>(), sums.entropy.data<float>(),
                                      sums.tokens.data<float>(), E});
}

}  // namespace moiety::ops

#endif
