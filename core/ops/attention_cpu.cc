// Attention forward on the CPU: one piece of work is one sequence and one key/value head.
#include <cmath>

#include "core/ops/attention_pack.h"
#include "core/ops/dtype.h"

namespace moiety::ops::cpu {

namespace {

template <class T>
struct Forward {
  const AttentionShape& shape;
  TileSizes size;
  Rng rng;
  Rows<const T> qkv;
  Rows<T> out;
  float* log_sum;  // [batch, heads, S]
  DocumentMask documents;
  const TileMath& math = tile_math();

  void operator()(int64_t piece) const {
    const int64_t sequence = piece / shape.kv_heads, kv = piece % shape.kv_heads;
    const int64_t first = sequence * size.S, group = shape.heads / shape.kv_heads;
    std::vector<float> keys = size.room(size.tiles, size.hd);
    std::vector<float> values = size.room(size.tiles, size.value_width);
    for (int64_t t = 0; t < size.tiles; ++t) {
      const int64_t row = first + t * kTile;
      pack_transposed(qkv, row, size.rows(t), shape.key_column(kv), size.hd, &keys[at(t, size.hd)]);
      pack(qkv, row, size.rows(t), shape.value_column(kv), size.vd, 1,
           &values[at(t, size.value_width)], size.value_width);
    }
    std::vector<float> q = size.room(1, size.width), sum = size.room(1, size.value_width);
    std::vector<float> scores = size.room(1, kTile);
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      for (int64_t tile = 0; tile < size.tiles; ++tile) {
        pack(qkv, first + tile * kTile, size.rows(tile), head * size.hd, size.hd,
             static_cast<float>(shape.scale), q.data(), size.width);
        query_tile(first, head, tile, q.data(), keys.data(), values.data(), scores.data(),
                   sum.data());
      }
    }
  }

 private:
  static size_t at(int64_t tile, int64_t width) {
    return static_cast<size_t>(tile * kTile * width);
  }

  void query_tile(int64_t first, int64_t head, int64_t tile, const float* q, const float* keys,
                  const float* values, float* scores, float* sum) const {
    const int64_t rows = size.rows(tile), width = size.value_width;
    float top[kTile], total[kTile], keep[kTile];
    std::fill_n(top, kTile, -INFINITY);
    std::fill_n(total, kTile, 0.0f);
    std::fill_n(sum, kTile * width, 0.0f);
    for (int64_t k = documents.first_tile(first + tile * kTile); k <= tile; ++k) {
      std::fill_n(scores, kTile * kTile, 0.0f);
      math.multiply_add(rows, kTile, size.hd, q, size.width, 1, keys + at(k, size.hd), kTile,
                        scores, kTile);
      for (int64_t i = 0; i < rows; ++i) {
        float* row = scores + i * kTile;
        const int64_t hidden = documents.hidden(first + tile * kTile + i, k);
        if (hidden == kTile) {  // no key: no softmax of nothing
          std::fill_n(row, kTile, 0.0f);
          continue;
        }
        std::fill_n(row, hidden, -INFINITY);
        const float shrink = math.softmax_step(visible(tile, k, i), row, &top[i], &total[i]);
        for (int64_t d = 0; d < width; ++d) sum[i * width + d] *= shrink;
        if (shape.dropout > 0) {
          draw_keep(rng, shape, first + tile * kTile + i, head, k * kTile,
                    static_cast<float>(1 / (1 - shape.dropout)), keep);
          for (int64_t j = 0; j < kTile; ++j) row[j] *= keep[j];
        }
      }
      math.multiply_add(rows, width, kTile, scores, kTile, 1, values + at(k, width), width, sum,
                        width);
    }
    float* logs = log_sum + log_sum_begin(first, shape.heads, head, size.S) + tile * kTile;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t token = first + tile * kTile + i;
      const float factor = 1.0f / total[i];
      T* to = out[token] + head * size.vd;
      for (int64_t d = 0; d < size.vd; ++d) to[d] = static_cast<T>(sum[i * width + d] * factor);
      logs[i] = top[i] + std::log(total[i]);
    }
  }
};

}  // namespace

void attention(Exec& exec, const AttentionShape& shape, ConstTensorView qkv, TensorView out,
               TensorView log_sum, const Documents& documents) {
  with_float(qkv.dtype, "attention", [&](auto element) {
    using T = decltype(element);
    const Forward<T> forward{
        shape,         TileSizes(shape),      attention_noise(exec),       qkv.rows<T>(),
        out.rows<T>(), log_sum.data<float>(), {documents.starts_or_null()}};
    exec.cpu_rows(
        shape.batch * shape.kv_heads,
        [](const void* f, int64_t piece) { (*static_cast<const Forward<T>*>(f))(piece); },
        &forward);
  });
}

}  // namespace moiety::ops::cpu
