// Which pieces a segment has, and the sums over pieces.
#include "core/ops/row_pieces.cuh"

namespace moiety::ops {

namespace {

/// first[g] = the number of pieces before segment g. One block of 1024 threads.
__global__ void first_pieces_kernel(SegmentLookup segments, int32_t* first) {
  __shared__ int32_t of_warp[32];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  int32_t before = 0;
  for (int64_t base = 0; base < segments.G; base += 1024) {
    const int64_t g = base + threadIdx.x;
    const int32_t mine =
        g < segments.G
            ? (segments.count[g] + static_cast<int32_t>(kPieceRows) - 1) / int32_t{kPieceRows}
            : 0;
    int32_t sum = mine;
    for (int offset = 1; offset < 32; offset *= 2) {
      const int32_t other = __shfl_up_sync(0xffffffffu, sum, offset);
      if (lane >= offset) sum += other;
    }
    if (lane == 31) of_warp[warp] = sum;
    __syncthreads();
    int32_t total = 0;
    for (int w = 0; w < 32; ++w) {
      if (w < warp) sum += of_warp[w];
      total += of_warp[w];
    }
    if (g < segments.G) first[g] = before + sum - mine;
    before += total;
    __syncthreads();
  }
  if (threadIdx.x == 0) first[segments.G] = before;
}

constexpr int kAddColumns = 32, kAddLanes = 16;

/// sum + a lane's share of pieces [begin, end) of a column.
__device__ float lane_of_pieces(const float* partial, int64_t pitch, int64_t begin, int64_t end,
                                float sum) {
#pragma unroll 4
  for (int64_t p = begin + threadIdx.y; p < end; p += kAddLanes) sum += partial[p * pitch];
  return sum;
}

/// The total over the lanes of a block of kAddColumns x kAddLanes threads.
__device__ float total_of_lanes(float sum) {
  __shared__ float of_lane[kAddLanes][kAddColumns];
  of_lane[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  for (int half = kAddLanes / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.y) < half) {
      of_lane[threadIdx.y][threadIdx.x] += of_lane[threadIdx.y + half][threadIdx.x];
    }
    __syncthreads();
  }
  return of_lane[0][threadIdx.x];
}

/// out[c] = (or +=) the sum of partial[p * pitch + c] over all pieces.
__global__ void add_pieces_kernel(const float* partial, int64_t pitch, int64_t pieces,
                                  int64_t columns, float* out, bool accumulate) {
  const int64_t c = int64_t{blockIdx.x} * kAddColumns + threadIdx.x;
  const float sum =
      total_of_lanes(c < columns ? lane_of_pieces(partial + c, pitch, 0, pieces, 0) : 0);
  if (threadIdx.y == 0 && c < columns) out[c] = accumulate ? out[c] + sum : sum;
}

/// Row l of out = (or +=) the sum of the pieces of segments l, l + L, ...
__global__ void add_segment_pieces_kernel(const float* partial, const int32_t* first, int64_t G,
                                          int64_t L, int64_t columns, Rows<float> out,
                                          bool accumulate) {
  const int64_t c = int64_t{blockIdx.x} * kAddColumns + threadIdx.x, l = blockIdx.y;
  float sum = 0;
  if (c < columns) {
    for (int64_t g = l; g < G; g += L) {
      sum = lane_of_pieces(partial + c, columns, first[g], first[g + 1], sum);
    }
  }
  sum = total_of_lanes(sum);
  if (threadIdx.y == 0 && c < columns) out[l][c] = accumulate ? out[l][c] + sum : sum;
}

}  // namespace

void first_pieces(cudaStream_t stream, const SegmentLookup& segments, int32_t* first) {
  first_pieces_kernel<<<1, 1024, 0, stream>>>(segments, first);
}

void add_pieces(cudaStream_t stream, const float* partial, int64_t pitch, int64_t pieces,
                int64_t columns, float* out, bool accumulate) {
  add_pieces_kernel<<<blocks_for(columns, kAddColumns), dim3(kAddColumns, kAddLanes), 0, stream>>>(
      partial, pitch, pieces, columns, out, accumulate);
}

void add_segment_pieces(cudaStream_t stream, const float* partial, const int32_t* first, int64_t G,
                        int64_t L, int64_t columns, Rows<float> out, bool accumulate) {
  const dim3 grid(blocks_for(columns, kAddColumns), static_cast<unsigned>(L));
  add_segment_pieces_kernel<<<grid, dim3(kAddColumns, kAddLanes), 0, stream>>>(
      partial, first, G, L, columns, out, accumulate);
}

}  // namespace moiety::ops
