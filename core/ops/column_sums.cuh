// Sums down the columns of a tall matrix in a fixed order: pieces of rows first, then the pieces.
#pragma once

#include <cstdint>

#include <moiety/rows.cuh>

namespace moiety::ops {

inline constexpr int64_t kColumnPiece = 128;

template <class V>
struct PieceSums {
  V value;
  float* partial;  // [pieces, E]
  int64_t T, E;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t piece = i / E, e = i % E, begin = piece * kColumnPiece;
    const int64_t end = begin + kColumnPiece < T ? begin + kColumnPiece : T;
    double sum = 0;
    for (int64_t t = begin; t < end; ++t) sum += static_cast<double>(value(t, e));
    partial[i] = static_cast<float>(sum);
  }
};

struct AddPieces {
  const float* partial;
  float* out;
  int64_t pieces, E;
  bool accumulate;
  MOIETY_HD void operator()(int64_t e) const {
    double sum = accumulate ? static_cast<double>(out[e]) : 0.0;
    for (int64_t p = 0; p < pieces; ++p) sum += static_cast<double>(partial[p * E + e]);
    out[e] = static_cast<float>(sum);
  }
};

#if defined(__CUDACC__)
inline constexpr int kColumnThreads = 256;

/// Sums over the threads of a block that share a column: `across` columns lie side by side, a power
/// of two. The total is in the first of a column's threads.
__device__ inline double sum_of_column(double mine, int across) {
  __shared__ double sums[kColumnThreads];
  sums[threadIdx.x] = mine;
  __syncthreads();
  for (int half = kColumnThreads / 2; half >= across; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  return sums[threadIdx.x];
}

/// Block (x, y): `across` columns of piece x.
template <class V>
__global__ void piece_of_columns_kernel(V value, int64_t T, int64_t E, int64_t piece, int across,
                                        float* partial) {
  const int64_t e = int64_t{blockIdx.y} * across + threadIdx.x % across;
  const int64_t begin = blockIdx.x * piece, end = begin + piece < T ? begin + piece : T;
  const int64_t step = kColumnThreads / across;
  double sum = 0;
  if (e < E) {
#pragma unroll 4
    for (int64_t t = begin + threadIdx.x / across; t < end; t += step) {
      sum += static_cast<double>(value(t, e));
    }
  }
  sum = sum_of_column(sum, across);
  if (static_cast<int>(threadIdx.x) < across && e < E) {
    partial[blockIdx.x * E + e] = static_cast<float>(sum);
  }
}

/// to(e, sum) for every column of partial [pieces, E].
template <class Store>
__global__ void add_pieces_of_columns_kernel(const float* partial, int64_t pieces, int64_t E,
                                             int across, Store store) {
  const int64_t e = int64_t{blockIdx.x} * across + threadIdx.x % across;
  const int64_t step = kColumnThreads / across;
  double sum = 0;
  if (e < E) {
#pragma unroll 4
    for (int64_t p = threadIdx.x / across; p < pieces; p += step) {
      sum += static_cast<double>(partial[p * E + e]);
    }
  }
  sum = sum_of_column(sum, across);
  if (static_cast<int>(threadIdx.x) < across && e < E) store(e, sum);
}

struct StoreColumn {
  float* out;
  bool accumulate;
  __device__ void operator()(int64_t e, double sum) const {
    out[e] = static_cast<float>(accumulate ? static_cast<double>(out[e]) + sum : sum);
  }
};

/// Columns that the threads of a block take side by side.
inline int columns_across(int64_t E) {
  int across = 1;
  while (across < E && across < 32) across *= 2;
  return across;
}

/// Rows of a piece: at most 512 pieces.
inline int64_t rows_of_column_piece(int64_t T) {
  const int64_t least = (T + 511) / 512;
  return least > kColumnPiece ? least : kColumnPiece;
}

template <class Store>
void add_pieces_of_columns(Exec& exec, const float* partial, int64_t pieces, int64_t E,
                           const Store& store) {
  const int across = columns_across(E);
  add_pieces_of_columns_kernel<<<static_cast<unsigned>((E + across - 1) / across), kColumnThreads,
                                 0, static_cast<cudaStream_t>(exec.stream())>>>(partial, pieces, E,
                                                                                across, store);
}

template <class V>
void column_sums_cuda(Exec& exec, int64_t T, int64_t E, const V& value, float* out,
                      bool accumulate) {
  const int64_t piece = rows_of_column_piece(T), pieces = (T + piece - 1) / piece;
  float* partial = exec.scratch(DType::kF32, {pieces, E}).data<float>();
  const int across = columns_across(E);
  if (pieces > 0) {
    const dim3 grid(static_cast<unsigned>(pieces),
                    static_cast<unsigned>((E + across - 1) / across));
    piece_of_columns_kernel<<<grid, kColumnThreads, 0, static_cast<cudaStream_t>(exec.stream())>>>(
        value, T, E, piece, across, partial);
  }
  add_pieces_of_columns(exec, partial, pieces, E, StoreColumn{out, accumulate});
}
#endif

/// out f32 [E] = (or +=) sum over t < T of value(t, e); value is a struct with a MOIETY_HD call.
template <class V>
void column_sums(Exec& exec, int64_t T, int64_t E, const V& value, float* out, bool accumulate) {
  if (E == 0) return;
#if defined(__CUDACC__)
  if (exec.is_cuda()) return column_sums_cuda(exec, T, E, value, out, accumulate);
#endif
  const int64_t pieces = (T + kColumnPiece - 1) / kColumnPiece;
  float* partial = exec.scratch(DType::kF32, {pieces, E}).data<float>();
  for_each_row(exec, pieces * E, PieceSums<V>{value, partial, T, E});
  for_each_row(exec, E, AddPieces{partial, out, pieces, E, accumulate});
}

}  // namespace moiety::ops
