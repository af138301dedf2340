// Counts of choices by expert on a GPU.
#include "core/ops/expert_histogram.cuh"

namespace moiety::ops {

namespace {

/// partial [blocks, E].
__global__ void expert_histogram_kernel(Rows<const int32_t> index, int64_t T, int64_t K, int64_t E,
                                        int64_t piece, float* partial) {
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

}  // namespace

void expert_histogram(Exec& exec, Rows<const int32_t> index, int64_t T, int64_t K, int64_t E,
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
