// Sums down the columns of a tall and wide matrix, for gradients of vectors: pieces of rows first,
// then the pieces, both in a fixed order.
#pragma once

#include <cstdint>

#include "core/ops/row_pieces.cuh"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

/// The rows of a piece; at most 256 pieces.
inline int64_t rows_per_piece(int64_t rows) {
  const int64_t least = (rows + 255) / 256;
  return least > 64 ? least : 64;
}

#if defined(__CUDACC__)
inline constexpr int kSumColumns = 32, kSumRows = 8;

/// Block (x, y): 32 columns of piece y, 8 rows at a time.
template <class V>
__global__ void column_pieces_kernel(int64_t rows, int64_t columns, int64_t piece_rows, V value,
                                     float* partial) {
  __shared__ float lane_sum[kSumRows][kSumColumns];
  const int64_t c = int64_t{blockIdx.x} * kSumColumns + threadIdx.x;
  const int64_t begin = int64_t{blockIdx.y} * piece_rows;
  const int64_t end = begin + piece_rows < rows ? begin + piece_rows : rows;
  float sum = 0;
  if (c < columns) {
    for (int64_t r = begin + threadIdx.y; r < end; r += kSumRows) sum += value(r, c);
  }
  lane_sum[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && c < columns) {
    for (int i = 1; i < kSumRows; ++i) sum += lane_sum[i][threadIdx.x];
    partial[blockIdx.y * columns + c] = sum;
  }
}
#endif

/// One piece on the CPU: column sums in place, row after row.
template <class V>
struct SumPiece {
  V value;
  int64_t rows, columns, piece_rows;
  float* partial;
  void operator()(int64_t piece) const {
    float* sum = partial + piece * columns;
    const int64_t begin = piece * piece_rows;
    const int64_t end = begin + piece_rows < rows ? begin + piece_rows : rows;
    for (int64_t c = 0; c < columns; ++c) sum[c] = 0;
    for (int64_t r = begin; r < end; ++r) {
      MOIETY_INDEPENDENT
      for (int64_t c = 0; c < columns; ++c) sum[c] += value(r, c);
    }
  }
};

struct AddSumPieces {
  const float* partial;
  float* out;
  int64_t pieces, columns;
  bool accumulate;
  MOIETY_HD void operator()(int64_t c) const {
    float sum = accumulate ? out[c] : 0.0f;
    for (int64_t p = 0; p < pieces; ++p) sum += partial[p * columns + c];
    out[c] = sum;
  }
};

/// out f32 [columns] = (or +=) sum over rows of value(row, column), a struct with a MOIETY_HD call.
template <class V>
void wide_column_sums(Exec& exec, int64_t rows, int64_t columns, const V& value, float* out,
                      bool accumulate) {
  if (columns == 0) return;
  const int64_t piece_rows = rows_per_piece(rows);
  const int64_t pieces = (rows + piece_rows - 1) / piece_rows;
  float* partial = nullptr;
  if (pieces > 0) {
    partial = exec.scratch(DType::kF32, {pieces, columns}).data<float>();
    [&] {
#if defined(__CUDACC__)
      if (exec.is_cuda()) {
        const dim3 grid(static_cast<unsigned>((columns + kSumColumns - 1) / kSumColumns),
                        static_cast<unsigned>(pieces));
        column_pieces_kernel<<<grid, dim3(kSumColumns, kSumRows), 0,
                               static_cast<cudaStream_t>(exec.stream())>>>(
            rows, columns, piece_rows, value, partial);
        return;
      }
#endif
      const SumPiece<V> piece{value, rows, columns, piece_rows, partial};
      exec.cpu_rows(
          pieces, [](const void* c, int64_t p) { (*static_cast<const SumPiece<V>*>(c))(p); },
          &piece);
    }();
  }
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    add_pieces(static_cast<cudaStream_t>(exec.stream()), partial, columns, pieces, columns, out,
               accumulate);
    return;
  }
#endif
  for_each_row(exec, columns, AddSumPieces{partial, out, pieces, columns, accumulate});
}

}  // namespace moiety::ops
