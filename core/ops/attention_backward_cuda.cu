// Attention backward on CUDA, without atomics (docs/kernels/attention.md): one pass whose blocks
// own a tile of queries and sum dq, one whose blocks own a tile of keys and sum dk and dv.
#include <cmath>

#include "core/ops/attention_tiles_cuda.cuh"
#include "core/ops/dtype.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops::cuda {

namespace {

extern __shared__ float shared_memory[];

/// delta [T, heads] = <out, dout> of each head, which is the mean of the probabilities' gradient.
template <class T>
struct Delta {
  Rows<const T> out, dout;
  float* delta;
  int64_t heads, vd;
  const int32_t* done;  // as in AttentionSizes; the tile in which they end is computed whole
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t i) const {
    if (done != nullptr && i / heads + kLargestTile <= *done) return;
    const T *y = out[i / heads] + i % heads * vd, *dy = dout[i / heads] + i % heads * vd;
    const float sum = group.sum(
        vd, [&](int64_t d) { return static_cast<float>(y[d]) * static_cast<float>(dy[d]); });
    if (group.leader()) delta[i] = sum;
  }
};

template <class T>
struct BackwardInputs {
  Rows<const T> qkv, dout;
  const float* log_sum;  // [batch, heads, S]
  const float* delta;    // [T, heads]
};

/// What a pair of query and key gives: the kept probability and the gradient of the score.
struct Pair {
  float probability, dscore;
};

template <class T>
__device__ Pair pair_of(const AttentionSizes& s, const Rng& rng, const BackwardInputs<T>& in,
                        int64_t first, int64_t head, int64_t query, int64_t key, float score,
                        float dprobability) {
  if (key > query || query >= s.sequence || key < s.first_key(first, query)) return {0, 0};
  const int64_t token = first + query;
  const int64_t at = log_sum_begin(first, s.heads, head, s.sequence) + query;
  const float p = expf(score * s.scale - in.log_sum[at]);
  const float keep = s.rate > 0 ? keep_of(rng, s, token, head, key) : 1.0f;
  return {p * keep, p * (dprobability * keep - in.delta[token * s.heads + head])};
}

/// Shared memory: queries, their dout, keys, values, the gradient of the scores.
template <int kDim>
constexpr int kQueryFloats = 4 * TileShape<kDim>::kTileFloats + TileShape<kDim>::kScoreFloats;

template <class T, int kDim>
__global__ void __launch_bounds__(kTileThreads)
    query_kernel(AttentionSizes s, Rng rng, BackwardInputs<T> in, Rows<T> dqkv) {
  using Shape = TileShape<kDim>;
  constexpr int kTile = Shape::kTile, kOwn = Shape::kOwn;
  float* queries = shared_memory;
  float* douts = queries + Shape::kTileFloats;
  float* keys = douts + Shape::kTileFloats;
  float* values = keys + Shape::kTileFloats;
  float* dscores = values + Shape::kTileFloats;

  const int64_t tile = s.tiles - 1 - blockIdx.x % s.tiles;  // the longest first
  const int64_t head = blockIdx.x / s.tiles % s.heads;
  const int64_t first = blockIdx.x / s.tiles / s.heads * s.sequence;
  const int64_t kv = head / (s.heads / s.kv_heads);
  const int64_t begin = tile * kTile, rows = min(int64_t{kTile}, s.sequence - begin);
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
  if (s.is_done(first + begin + rows)) return;

  float sum[kOwn][Shape::kWide] = {};
  load_tile<kDim>(in.qkv, first + begin, rows, head * s.hd, s.hd, queries);
  load_tile<kDim>(in.dout, first + begin, rows, head * s.vd, s.vd, douts);
  for (int64_t k = s.first_key(first, begin) / kTile; k <= tile; ++k) {
    const int64_t key_begin = k * kTile, key_rows = min(int64_t{kTile}, s.sequence - key_begin);
    __syncthreads();  // the keys and dscores of the tile before have been read
    load_tile<kDim>(in.qkv, first + key_begin, key_rows, s.key_column(kv), s.hd, keys);
    load_tile<kDim>(in.qkv, first + key_begin, key_rows, s.value_column(kv), s.vd, values);
    __syncthreads();
    float score[kOwn][kOwn], dprobability[kOwn][kOwn];
    row_products<kDim>(queries, keys, score);
    row_products<kDim>(douts, values, dprobability);
    for (int i = 0; i < kOwn; ++i) {
      for (int j = 0; j < kOwn; ++j) {
        const int r = y * kOwn + i, c = x + 16 * j;
        dscores[r * Shape::kScorePitch + c] =
            pair_of(s, rng, in, first, head, begin + r, key_begin + c, score[i][j],
                    dprobability[i][j])
                .dscore;
      }
    }
    __syncthreads();
    add_products<kDim>(dscores, keys, sum);
  }
  float factor[kOwn];
  for (int i = 0; i < kOwn; ++i) factor[i] = s.scale;
  store_tile<kDim>(sum, factor, dqkv, first + begin, rows, head * s.hd, s.hd);
}

/// Shared memory: keys, values, queries, their dout, the kept probabilities, the scores' gradient.
template <int kDim>
constexpr int kKeyFloats = 4 * TileShape<kDim>::kTileFloats + 2 * TileShape<kDim>::kScoreFloats;

/// Rows of a thread are keys here, columns are queries.
template <class T, int kDim>
__global__ void __launch_bounds__(kTileThreads)
    key_kernel(AttentionSizes s, Rng rng, BackwardInputs<T> in, Rows<T> dqkv) {
  using Shape = TileShape<kDim>;
  constexpr int kTile = Shape::kTile, kOwn = Shape::kOwn;
  float* keys = shared_memory;
  float* values = keys + Shape::kTileFloats;
  float* queries = values + Shape::kTileFloats;
  float* douts = queries + Shape::kTileFloats;
  float* probabilities = douts + Shape::kTileFloats;
  float* dscores = probabilities + Shape::kScoreFloats;

  const int64_t tile = blockIdx.x % s.tiles;  // the longest first: early keys are seen by most
  const int64_t kv = blockIdx.x / s.tiles % s.kv_heads;
  const int64_t first = blockIdx.x / s.tiles / s.kv_heads * s.sequence;
  const int64_t group = s.heads / s.kv_heads;
  const int64_t begin = tile * kTile, rows = min(int64_t{kTile}, s.sequence - begin);
  const int64_t key_column = s.key_column(kv), value_column = s.value_column(kv);
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
  if (s.is_done(first + begin + rows)) return;

  float dkeys[kOwn][Shape::kWide] = {}, dvalues[kOwn][Shape::kWide] = {};
  load_tile<kDim>(in.qkv, first + begin, rows, key_column, s.hd, keys);
  load_tile<kDim>(in.qkv, first + begin, rows, value_column, s.vd, values);
  for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
    for (int64_t q = tile; q < s.tiles; ++q) {
      const int64_t query_begin = q * kTile;
      if (s.first_key(first, query_begin) > begin + rows - 1) break;  // nor do later ones see a key
      const int64_t query_rows = min(int64_t{kTile}, s.sequence - query_begin);
      __syncthreads();  // all four tiles of the round before have been read
      load_tile<kDim>(in.qkv, first + query_begin, query_rows, head * s.hd, s.hd, queries);
      load_tile<kDim>(in.dout, first + query_begin, query_rows, head * s.vd, s.vd, douts);
      __syncthreads();
      float score[kOwn][kOwn], dprobability[kOwn][kOwn];
      row_products<kDim>(keys, queries, score);
      row_products<kDim>(values, douts, dprobability);
      for (int i = 0; i < kOwn; ++i) {
        for (int j = 0; j < kOwn; ++j) {
          const int r = y * kOwn + i, c = x + 16 * j;
          const Pair pair = pair_of(s, rng, in, first, head, query_begin + c, begin + r,
                                    score[i][j], dprobability[i][j]);
          probabilities[r * Shape::kScorePitch + c] = pair.probability;
          dscores[r * Shape::kScorePitch + c] = pair.dscore;
        }
      }
      __syncthreads();
      add_products<kDim>(probabilities, douts, dvalues);
      add_products<kDim>(dscores, queries, dkeys);
    }
  }
  float one[kOwn], scale[kOwn];
  for (int i = 0; i < kOwn; ++i) one[i] = 1, scale[i] = s.scale;
  store_tile<kDim>(dkeys, scale, dqkv, first + begin, rows, key_column, s.hd);
  store_tile<kDim>(dvalues, one, dqkv, first + begin, rows, value_column, s.vd);
}

}  // namespace

void tiled_attention_backward(Exec& exec, const AttentionShape& shape, ConstTensorView qkv,
                              ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                              TensorView dqkv, const Documents& documents, bool unlisted_only) {
  const int64_t tokens = shape.batch * shape.sequence;
  float* delta = exec.scratch(DType::kF32, {tokens, shape.heads}).data<float>();
  with_float(qkv.dtype, "attention_backward", [&](auto element) {
    using T = decltype(element);
    for_each_wide_row<32>(
        exec, tokens * shape.heads,
        Delta<T>{out.rows<T>(), dout.rows<T>(), delta, shape.heads, shape.values(),
                 unlisted_only ? documents.listed_tokens() : nullptr});
    const BackwardInputs<T> in{qkv.rows<T>(), dout.rows<T>(), log_sum.data<float>(), delta};
    with_tile_width(shape, [&](auto width) {
      constexpr int kDim = decltype(width)::value;
      const AttentionSizes sizes(shape, TileShape<kDim>::kTile, documents, unlisted_only);
      const Rng rng = attention_noise(exec);
      launch_tiles(exec, "attention_backward", &query_kernel<T, kDim>,
                   shape.batch * shape.heads * sizes.tiles, kTileThreads, kQueryFloats<kDim>, sizes,
                   rng, in, dqkv.rows<T>());
      launch_tiles(exec, "attention_backward", &key_kernel<T, kDim>,
                   shape.batch * shape.kv_heads * sizes.tiles, kTileThreads, kKeyFloats<kDim>,
                   sizes, rng, in, dqkv.rows<T>());
    });
  });
}

}  // namespace moiety::ops::cuda
