// Attention backward on the CPU (docs/kernels/attention.md): one piece of work is one sequence and
// one key/value head, so every sum has one owner and a fixed order.
#include <cmath>

#include "core/ops/attention_pack.h"
#include "core/ops/dtype.h"

namespace moiety::ops::cpu {

namespace {

/// Memory of one piece, in tiles of 64 rows.
struct Work {
  std::vector<float> keys, keys_t, values_t;        // of all tiles
  std::vector<float> dkeys, dvalues;                // sums, of all tiles
  std::vector<float> q, dout, dq, scores, dscores;  // of the tile of queries in hand
  explicit Work(const TileSizes& s)
      : keys(s.room(s.tiles, s.width)),
        keys_t(s.room(s.tiles, s.hd)),
        values_t(s.room(s.tiles, s.vd)),
        dkeys(s.room(s.tiles, s.width)),
        dvalues(s.room(s.tiles, s.value_width)),
        q(s.room(1, s.width)),
        dout(s.room(1, s.value_width)),
        dq(s.room(1, s.width)),
        scores(s.room(1, kTile)),
        dscores(s.room(1, kTile)) {}
};

size_t at(int64_t tile, int64_t width) { return static_cast<size_t>(tile * kTile * width); }

template <class T>
struct Backward {
  const AttentionShape& shape;
  TileSizes size;
  Rng rng;
  Rows<const T> qkv, out, dout;
  const float* log_sum;  // [batch, heads, S]
  Rows<T> dqkv;
  DocumentMask documents;
  const TileMath& math = tile_math();

  void operator()(int64_t piece) const {
    const int64_t sequence = piece / shape.kv_heads, kv = piece % shape.kv_heads;
    const int64_t first = sequence * size.S, group = shape.heads / shape.kv_heads;
    const int64_t key_column = shape.key_column(kv), value_column = shape.value_column(kv);
    Work w(size);
    for (int64_t t = 0; t < size.tiles; ++t) {
      const int64_t row = first + t * kTile, rows = size.rows(t);
      pack(qkv, row, rows, key_column, size.hd, 1, &w.keys[at(t, size.width)], size.width);
      pack_transposed(qkv, row, rows, key_column, size.hd, &w.keys_t[at(t, size.hd)]);
      pack_transposed(qkv, row, rows, value_column, size.vd, &w.values_t[at(t, size.vd)]);
    }
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      for (int64_t tile = 0; tile < size.tiles; ++tile) query_tile(first, head, tile, w);
    }
    for (int64_t t = 0; t < size.tiles; ++t) {
      store(first, t, key_column, size.hd, 1, &w.dkeys[at(t, size.width)], size.width);
      store(first, t, value_column, size.vd, 1, &w.dvalues[at(t, size.value_width)],
            size.value_width);
    }
  }

 private:
  void query_tile(int64_t first, int64_t head, int64_t tile, Work& w) const {
    const int64_t rows = size.rows(tile), width = size.width, hd = size.hd;
    const int64_t value_width = size.value_width, vd = size.vd;
    const int64_t begin = first + tile * kTile;
    // q carries the scale of the scores, so dscores^T q is the gradient of the keys as it stands.
    pack(qkv, begin, rows, head * hd, hd, static_cast<float>(shape.scale), w.q.data(), width);
    pack(dout, begin, rows, head * vd, vd, 1, w.dout.data(), value_width);
    const float* logs = log_sum + log_sum_begin(first, shape.heads, head, size.S) + tile * kTile;
    float delta[kTile];
    for (int64_t i = 0; i < rows; ++i) {
      const T* y = out[begin + i] + head * vd;
      float sum = 0;
      for (int64_t d = 0; d < vd; ++d) {
        sum += static_cast<float>(y[d]) * w.dout[static_cast<size_t>(i * value_width + d)];
      }
      delta[i] = sum;
    }
    std::fill(w.dq.begin(), w.dq.end(), 0.0f);
    float *scores = w.scores.data(), *dscores = w.dscores.data();
    for (int64_t k = documents.first_tile(begin); k <= tile; ++k) {
      std::fill(w.scores.begin(), w.scores.end(), 0.0f);
      std::fill(w.dscores.begin(), w.dscores.end(), 0.0f);
      math.multiply_add(rows, kTile, hd, w.q.data(), width, 1, &w.keys_t[at(k, hd)], kTile, scores,
                        kTile);
      math.multiply_add(rows, kTile, vd, w.dout.data(), value_width, 1, &w.values_t[at(k, vd)],
                        kTile, dscores, kTile);
      for (int64_t i = 0; i < rows; ++i) {
        float keep[kTile];
        const float* kept = nullptr;
        if (shape.dropout > 0) {
          draw_keep(rng, shape, begin + i, head, k * kTile,
                    static_cast<float>(1 / (1 - shape.dropout)), keep);
          kept = keep;
        }
        std::fill_n(scores + i * kTile, documents.hidden(begin + i, k), -INFINITY);
        math.softmax_backward(visible(tile, k, i), kept, logs[i], delta[i], scores + i * kTile,
                              dscores + i * kTile);
      }
      math.multiply_add(kTile, value_width, rows, scores, 1, kTile, w.dout.data(), value_width,
                        &w.dvalues[at(k, value_width)], value_width);
      math.multiply_add(kTile, width, rows, dscores, 1, kTile, w.q.data(), width,
                        &w.dkeys[at(k, width)], width);
      math.multiply_add(rows, width, kTile, dscores, kTile, 1, &w.keys[at(k, width)], width,
                        w.dq.data(), width);
    }
    store(first, tile, head * hd, hd, static_cast<float>(shape.scale), w.dq.data(), width);
  }

  void store(int64_t first, int64_t tile, int64_t column, int64_t columns, float factor,
             const float* from, int64_t width) const {
    for (int64_t i = 0; i < size.rows(tile); ++i) {
      T* to = dqkv[first + tile * kTile + i] + column;
      for (int64_t d = 0; d < columns; ++d) {
        to[d] = static_cast<T>(from[i * width + d] * factor);
      }
    }
  }
};

}  // namespace

void attention_backward(Exec& exec, const AttentionShape& shape, ConstTensorView qkv,
                        ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                        TensorView dqkv, const Documents& documents) {
  with_float(qkv.dtype, "attention_backward", [&](auto element) {
    using T = decltype(element);
    const Backward<T> backward{shape,
                               TileSizes(shape),
                               attention_noise(exec),
                               qkv.rows<T>(),
                               out.rows<T>(),
                               dout.rows<T>(),
                               log_sum.data<float>(),
                               dqkv.rows<T>(),
                               {documents.starts_or_null()}};
    exec.cpu_rows(
        shape.batch * shape.kv_heads,
        [](const void* f, int64_t piece) { (*static_cast<const Backward<T>*>(f))(piece); },
        &backward);
  });
}

}  // namespace moiety::ops::cpu
