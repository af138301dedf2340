// Sums down the columns of tall matrices on a GPU, in two stages whose order depends on the sizes
// alone: pieces of some 128 rows that fill the chip, then the pieces of each sum.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/ops/packs.cuh"
#include "core/ops/segments.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

inline constexpr int64_t kPieceRows = 128;
inline constexpr int kPieceWarps = 8;

struct PieceRange {
  int64_t begin, end;  // rows
};

/// Pieces of one matrix: at most 1024.
struct PlainPieces {
  int64_t rows, size;
  explicit PlainPieces(int64_t n) : rows(n), size(std::max(kPieceRows, (n + 1023) / 1024)) {}
  int64_t count() const { return (rows + size - 1) / size; }
  __device__ PieceRange range(int64_t piece) const {
    const int64_t begin = piece * size;
    return {begin, begin + size < rows ? begin + size : rows};
  }
};

/// Pieces of segments, in the segments' order: those of segment g are numbers first[g] up to
/// first[g + 1]. Only the device knows how many there are.
struct SegmentPieces {
  SegmentLookup segments;
  const int32_t* first;  // [G + 1]
  __device__ PieceRange range(int64_t piece) const {
    if (piece >= first[segments.G]) return {0, 0};
    int64_t low = 0, high = segments.G;  // first[low] <= piece < first[high]
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (first[middle] <= piece ? low : high) = middle;
    }
    const int64_t within = (piece - first[low]) * kPieceRows, left = segments.count[low] - within;
    const int64_t begin = segments.start[low] + within;
    return {begin, begin + (left < kPieceRows ? left : kPieceRows)};
  }
};

/// At most so many pieces have `slots` rows in G disjoint segments.
inline int64_t most_pieces(int64_t slots, int64_t G) { return slots / kPieceRows + G; }

/// partial[piece, columns] of every matrix that `term` yields. Block (x, y): 32 * kWidth columns of
/// piece y, a row a warp. term(row, column, float (&)[kSums][kWidth]) adds to its sums.
template <int kWidth, int kSums, class Pieces, class Term>
__global__ void __launch_bounds__(32 * kPieceWarps)
    piece_sums_kernel(Pieces pieces, int64_t columns, Term term, float* partial) {
  __shared__ float of_warp[kPieceWarps][kWidth][33];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const PieceRange rows = pieces.range(blockIdx.y);
  if (rows.begin == rows.end) return;
  const int64_t c = (int64_t{blockIdx.x} * 32 + lane) * kWidth;
  float sums[kSums][kWidth] = {};
  if (c < columns) {
#pragma unroll 4
    for (int64_t r = rows.begin + warp; r < rows.end; r += kPieceWarps) term(r, c, sums);
  }
#pragma unroll
  for (int k = 0; k < kSums; ++k) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) of_warp[warp][i][lane] = sums[k][i];
    __syncthreads();
    for (int64_t i = threadIdx.x; i < 32 * kWidth; i += 32 * kPieceWarps) {
      const int64_t column = int64_t{blockIdx.x} * 32 * kWidth + i;
      float sum = 0;
      for (int w = 0; w < kPieceWarps; ++w) sum += of_warp[w][i % kWidth][i / kWidth];
      if (column < columns) partial[(int64_t{blockIdx.y} * kSums + k) * columns + column] = sum;
    }
    __syncthreads();
  }
}

/// Elements as they are: one sum a column.
template <class T, int kWidth>
struct ElementSums {
  Rows<const T> x;
  __device__ void operator()(int64_t row, int64_t column, float (&sums)[1][kWidth]) const {
    float values[kWidth];
    load_pack<kWidth>(x[row] + column, values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sums[0][i] += values[i];
  }
};

inline unsigned blocks_for(int64_t n, int64_t each) {
  return static_cast<unsigned>((n + each - 1) / each);
}

/// partial [pieces, kSums, columns] of `pieces`, kWidth neighbouring columns a thread.
template <int kWidth, int kSums, class Pieces, class Term>
void piece_sums(cudaStream_t stream, const Pieces& pieces, int64_t most, int64_t columns,
                const Term& term, float* partial) {
  const dim3 grid(blocks_for(columns, 32 * kWidth), static_cast<unsigned>(most));
  piece_sums_kernel<kWidth, kSums>
      <<<grid, 32 * kPieceWarps, 0, stream>>>(pieces, columns, term, partial);
}

/// first [G + 1] = the number of pieces before each segment.
void first_pieces(cudaStream_t stream, const SegmentLookup& segments, int32_t* first);

/// out [columns] = (or +=) the sum of rows of `partial`, every pitch elements.
void add_pieces(cudaStream_t stream, const float* partial, int64_t pitch, int64_t pieces,
                int64_t columns, float* out, bool accumulate);

/// Row l of out [L, columns] = (or +=) the sum of the pieces of segments l, l + L, ...
void add_segment_pieces(cudaStream_t stream, const float* partial, const int32_t* first, int64_t G,
                        int64_t L, int64_t columns, Rows<float> out, bool accumulate);

}  // namespace moiety::ops

#endif
