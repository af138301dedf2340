// Tiles of one head as f32, padded with zeros: what the CPU's attention computes on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <moiety/tensor.h>

#include "core/ops/attention_backend.h"
#include "core/ops/attention_tile.h"

namespace moiety::ops {

/// to [64, width] = the rows of x at `column`, times factor; the rest is 0.
template <class T>
void pack(Rows<const T> x, int64_t row, int64_t rows, int64_t column, int64_t head_dim,
          float factor, float* to, int64_t width) {
  std::fill_n(to, kTile * width, 0.0f);
  for (int64_t i = 0; i < rows; ++i) {
    const T* from = x[row + i] + column;
    for (int64_t d = 0; d < head_dim; ++d) {
      to[i * width + d] = static_cast<float>(from[d]) * factor;
    }
  }
}

/// to [head_dim, 64] = the rows of x at `column`, transposed; the rest is 0.
template <class T>
void pack_transposed(Rows<const T> x, int64_t row, int64_t rows, int64_t column, int64_t head_dim,
                     float* to) {
  std::fill_n(to, kTile * head_dim, 0.0f);
  for (int64_t i = 0; i < rows; ++i) {
    const T* from = x[row + i] + column;
    for (int64_t d = 0; d < head_dim; ++d) to[d * kTile + i] = static_cast<float>(from[d]);
  }
}

/// keep [64] = 0 or `factor` for a query and 64 keys from `key`.
inline void draw_keep(const Rng& rng, const AttentionShape& shape, int64_t token, int64_t head,
                      int64_t key, float factor, float* keep) {
  const auto rate = static_cast<float>(shape.dropout);
  for (int64_t j = 0; j < kTile; j += 4) {
    float noise[4];
    rng.uniform4(token, noise_block(head, shape.sequence, key + j), noise);
    for (int64_t i = 0; i < 4; ++i) keep[j + i] = noise[i] < rate ? 0.0f : factor;
  }
}

/// The sizes that both passes share.
struct TileSizes {
  int64_t S, hd, width, vd, value_width, tiles;
  explicit TileSizes(const AttentionShape& s)
      : S(s.sequence),
        hd(s.head_dim),
        width(padded(s.head_dim, kColumns)),
        vd(s.values()),
        value_width(padded(s.values(), kColumns)),
        tiles((s.sequence + kTile - 1) / kTile) {}
  int64_t rows(int64_t tile) const { return std::min(kTile, S - tile * kTile); }
  std::vector<float> room(int64_t tiles_wanted, int64_t tile_width) const {
    return std::vector<float>(static_cast<size_t>(tiles_wanted * kTile * tile_width));
  }
};

/// Keys of tile `key_tile` that the query in row i of tile `query_tile` sees.
inline int64_t visible(int64_t query_tile, int64_t key_tile, int64_t i) {
  return key_tile < query_tile ? kTile : i + 1;
}

/// Where the documents of packed sequences hide the keys before them. `starts` null: nowhere.
struct DocumentMask {
  const int32_t* starts;
  /// First key, by its place in the sequence, of the query that is token `token`.
  int64_t first_key(int64_t token) const { return starts == nullptr ? 0 : starts[token]; }
  /// First tile of keys that a tile of queries sees; `token` is the first of its queries.
  int64_t first_tile(int64_t token) const { return first_key(token) / kTile; }
  /// Of tile `key_tile`, the keys that the query does not see: [0, hidden), all 64 or fewer.
  int64_t hidden(int64_t token, int64_t key_tile) const {
    return std::clamp(first_key(token) - key_tile * kTile, int64_t{0}, kTile);
  }
};

}  // namespace moiety::ops
