// What attention's CUDA kernels share. A block of 16 x 16 threads works on kTile x kTile scores in
// f32: thread (y, x) has rows y * kOwn to y * kOwn + kOwn - 1 and every 16th column from x.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/ops/attention_backend.h"
#include "core/ops/attention_launch_cuda.cuh"

namespace moiety::ops::cuda {

inline constexpr int kTileThreads = 256;
inline constexpr int kLargestTile = 64;

/// Sizes for head dimensions, of keys and of values, up to kDim. Tiles in shared memory have one
/// column more than they need, so that 16 rows read side by side lie in different banks.
template <int kDim>
struct TileShape {
  static constexpr int kTile =
      kDim > 128 ? 32 : kLargestTile;      // four tiles and the scores fit 227 KiB
  static constexpr int kOwn = kTile / 16;  // rows, and score columns, of a thread
  static constexpr int kWide = kDim / 16;  // head dimensions of a thread
  static constexpr int kPitch = kDim + 1;
  static constexpr int kScorePitch = kTile + 1;
  static constexpr int kTileFloats = kTile * kPitch;
  static constexpr int kScoreFloats = kTile * kScorePitch;
};

/// Which attention: carried into the kernels by value.
struct AttentionSizes {
  int64_t sequence, heads, kv_heads, hd, vd, tiles;
  float scale, rate, keep_factor;  // rate 0: no dropout, no noise drawn
  const int32_t* starts;           // [T], of documents; null: a sequence is one
  const int32_t* done;             // tokens that need no work, from the first; null: none
  AttentionSizes(const AttentionShape& s, int64_t tile, const Documents& documents,
                 bool unlisted_only)
      : sequence(s.sequence),
        heads(s.heads),
        kv_heads(s.kv_heads),
        hd(s.head_dim),
        vd(s.values()),
        tiles((s.sequence + tile - 1) / tile),
        scale(static_cast<float>(s.scale)),
        rate(static_cast<float>(s.dropout)),
        keep_factor(static_cast<float>(1 / (1 - s.dropout))),
        starts(documents.starts_or_null()),
        done(unlisted_only ? documents.listed_tokens() : nullptr) {}
  __device__ int64_t key_column(int64_t kv) const { return (heads + kv) * hd; }
  __device__ int64_t value_column(int64_t kv) const { return (heads + kv_heads) * hd + kv * vd; }
  /// First key that query `query` of the sequence at token `first` sees. Rows past the end, which
  /// pad a tile, see all.
  __device__ int64_t first_key(int64_t first, int64_t query) const {
    return starts == nullptr || query >= sequence ? 0 : starts[first + query];
  }
  /// Whether no token before `end` needs work.
  __device__ bool is_done(int64_t end) const { return done != nullptr && end <= *done; }
};

/// Calls f(std::integral_constant<int, kDim>{}) with the smallest tile width that holds a head.
template <class F>
void with_tile_width(const AttentionShape& shape, const F& f) {
  const int64_t head_dim = shape.head_dim > shape.values() ? shape.head_dim : shape.values();
  if (head_dim <= 16) return f(std::integral_constant<int, 16>{});
  if (head_dim <= 32) return f(std::integral_constant<int, 32>{});
  if (head_dim <= 64) return f(std::integral_constant<int, 64>{});
  if (head_dim <= 128) return f(std::integral_constant<int, 128>{});
  return f(std::integral_constant<int, 256>{});
}

/// Shared tile = rows [row, row + rows) of x at `column`, in f32; zeros past `rows` and past hd,
/// the head dimension.
template <int kDim, class T>
__device__ void load_tile(Rows<const T> x, int64_t row, int64_t rows, int64_t column, int64_t hd,
                          float* tile) {
  using Shape = TileShape<kDim>;
  for (int i = static_cast<int>(threadIdx.x); i < Shape::kTile * kDim; i += kTileThreads) {
    const int r = i / kDim, d = i % kDim;
    tile[r * Shape::kPitch + d] =
        r < rows && d < hd ? static_cast<float>(x[row + r][column + d]) : 0.0f;
  }
}

/// s[i][j] = <row of a, row of b>: a's rows are this thread's rows, b's are its columns.
template <int kDim>
__device__ void row_products(const float* a, const float* b,
                             float (&s)[TileShape<kDim>::kOwn][TileShape<kDim>::kOwn]) {
  using Shape = TileShape<kDim>;
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
  for (int i = 0; i < Shape::kOwn; ++i) {
    for (int j = 0; j < Shape::kOwn; ++j) s[i][j] = 0;
  }
  for (int d = 0; d < kDim; ++d) {
    float left[Shape::kOwn], right[Shape::kOwn];
#pragma unroll
    for (int i = 0; i < Shape::kOwn; ++i) left[i] = a[(y * Shape::kOwn + i) * Shape::kPitch + d];
#pragma unroll
    for (int j = 0; j < Shape::kOwn; ++j) right[j] = b[(x + 16 * j) * Shape::kPitch + d];
#pragma unroll
    for (int i = 0; i < Shape::kOwn; ++i) {
#pragma unroll
      for (int j = 0; j < Shape::kOwn; ++j) s[i][j] += left[i] * right[j];
    }
  }
}

/// sum[i][j] += scores [kTile, kTile] times b [kTile, kDim], at this thread's rows and every 16th
/// head dimension from x.
template <int kDim>
__device__ void add_products(const float* scores, const float* b,
                             float (&sum)[TileShape<kDim>::kOwn][TileShape<kDim>::kWide]) {
  using Shape = TileShape<kDim>;
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
  for (int k = 0; k < Shape::kTile; ++k) {
    float left[Shape::kOwn];
#pragma unroll
    for (int i = 0; i < Shape::kOwn; ++i) {
      left[i] = scores[(y * Shape::kOwn + i) * Shape::kScorePitch + k];
    }
#pragma unroll
    for (int j = 0; j < Shape::kWide; ++j) {
      const float right = b[k * Shape::kPitch + x + 16 * j];
#pragma unroll
      for (int i = 0; i < Shape::kOwn; ++i) sum[i][j] += left[i] * right;
    }
  }
}

/// Writes factor * sum to rows [row, row + rows) of `to` at `column`.
template <int kDim, class T>
__device__ void store_tile(const float (&sum)[TileShape<kDim>::kOwn][TileShape<kDim>::kWide],
                           const float (&factor)[TileShape<kDim>::kOwn], Rows<T> to, int64_t row,
                           int64_t rows, int64_t column, int64_t hd) {
  using Shape = TileShape<kDim>;
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
  for (int i = 0; i < Shape::kOwn; ++i) {
    const int r = y * Shape::kOwn + i;
    if (r >= rows) continue;
    for (int j = 0; j < Shape::kWide; ++j) {
      const int d = x + 16 * j;
      if (d < hd) to[row + r][column + d] = static_cast<T>(sum[i][j] * factor[i]);
    }
  }
}

/// 0 or 1 / (1 - rate): the same noise as the CPU's.
__device__ inline float keep_of(const Rng& rng, const AttentionSizes& s, int64_t token,
                                int64_t head, int64_t key) {
  const int64_t column = 4 * noise_block(head, s.sequence, key) + key % 4;
  return rng.uniform(token, column) < s.rate ? 0.0f : s.keep_factor;
}

}  // namespace moiety::ops::cuda
