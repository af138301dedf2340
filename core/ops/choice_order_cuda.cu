// Scans of histograms over blocks of choices, and over experts.
#include "core/ops/choice_order_cuda.cuh"

namespace moiety::ops {

namespace {

/// counts becomes the number before each block, total [E] their sum. Blocks of 32 x 32 threads: 32
/// experts, and a 32nd of the blocks each.
__global__ void scan_choices_kernel(int32_t* counts, int32_t* total, int64_t blocks, int E) {
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
__global__ void scan_experts_kernel(const int32_t* count, int32_t* start, int E) {
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

}  // namespace

void scan_choices(cudaStream_t stream, int64_t blocks, int E, int32_t* counts, int32_t* total,
                  int32_t* start) {
  scan_choices_kernel<<<static_cast<unsigned>((E + 31) / 32), dim3(32, 32), 0, stream>>>(
      counts, total, blocks, E);
  scan_experts_kernel<<<1, kMostOrderedExperts, 0, stream>>>(total, start, E);
}

}  // namespace moiety::ops
