// Attention forward on CUDA: a block has one tile of queries of one head and walks over the tiles
// of keys that they see, with an online softmax (docs/kernels/attention.md).
#include <cmath>

#include "core/ops/attention_tiles_cuda.cuh"
#include "core/ops/dtype.h"

namespace moiety::ops::cuda {

namespace {

/// The largest, or the sum, over the 16 threads of a row of threads: half a warp.
__device__ float row_max(float x) {
  for (int offset = 8; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  }
  return x;
}
__device__ float row_sum(float x) {
  for (int offset = 8; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

extern __shared__ float shared_memory[];

/// Shared memory: a tile of queries, a tile of keys and then of values, the scores.
template <int kDim>
constexpr int kForwardFloats = 2 * TileShape<kDim>::kTileFloats + TileShape<kDim>::kScoreFloats;

template <class T, int kDim>
__global__ void __launch_bounds__(kTileThreads)
    forward_kernel(AttentionSizes s, Rng rng, Rows<const T> qkv, Rows<T> out, float* log_sum) {
  using Shape = TileShape<kDim>;
  constexpr int kTile = Shape::kTile, kOwn = Shape::kOwn;
  float* queries = shared_memory;
  float* keys = queries + Shape::kTileFloats;  // and values
  float* scores = keys + Shape::kTileFloats;

  const int64_t tile = s.tiles - 1 - blockIdx.x % s.tiles;  // the longest first
  const int64_t head = blockIdx.x / s.tiles % s.heads;
  const int64_t first = blockIdx.x / s.tiles / s.heads * s.sequence;
  const int64_t kv = head / (s.heads / s.kv_heads);
  const int64_t begin = tile * kTile, rows = min(int64_t{kTile}, s.sequence - begin);
  const int y = static_cast<int>(threadIdx.x) / 16, x = static_cast<int>(threadIdx.x) % 16;
  if (s.is_done(first + begin + rows)) return;

  float sum[kOwn][Shape::kWide] = {}, top[kOwn], total[kOwn] = {};
  int64_t first_key[kOwn];
  for (int i = 0; i < kOwn; ++i) {
    top[i] = -INFINITY;
    first_key[i] = s.first_key(first, begin + y * kOwn + i);
  }
  load_tile<kDim>(qkv, first + begin, rows, head * s.hd, s.hd, queries);

  for (int64_t k = s.first_key(first, begin) / kTile; k <= tile; ++k) {
    const int64_t key_begin = k * kTile, key_rows = min(int64_t{kTile}, s.sequence - key_begin);
    __syncthreads();  // the values of the tile before have been read
    load_tile<kDim>(qkv, first + key_begin, key_rows, s.key_column(kv), s.hd, keys);
    __syncthreads();
    float score[kOwn][kOwn];
    row_products<kDim>(queries, keys, score);
    for (int i = 0; i < kOwn; ++i) {
      const int64_t query = begin + y * kOwn + i;
      float best = -INFINITY;
      for (int j = 0; j < kOwn; ++j) {
        const int64_t key = key_begin + x + 16 * j;
        const bool seen = first_key[i] <= key && key <= query && key < s.sequence;
        score[i][j] = seen ? score[i][j] * s.scale : -INFINITY;
        best = fmaxf(best, score[i][j]);
      }
      const float now = fmaxf(top[i], row_max(best));
      // Still -infinity before the first tile that shows a key of the query's document.
      const float base = now == -INFINITY ? 0.0f : now;
      const float shrink = expf(top[i] - base);
      float part = 0;
      for (int j = 0; j < kOwn; ++j) {
        const int64_t key = key_begin + x + 16 * j;
        float p = expf(score[i][j] - base);
        part += p;
        if (s.rate > 0 && query < s.sequence) p *= keep_of(rng, s, first + query, head, key);
        scores[(y * kOwn + i) * Shape::kScorePitch + x + 16 * j] = p;
      }
      total[i] = total[i] * shrink + row_sum(part);
      top[i] = now;
      for (int j = 0; j < Shape::kWide; ++j) sum[i][j] *= shrink;
    }
    __syncthreads();  // the keys have been read, the scores written
    load_tile<kDim>(qkv, first + key_begin, key_rows, s.value_column(kv), s.vd, keys);
    __syncthreads();
    add_products<kDim>(scores, keys, sum);
  }

  float* logs = log_sum + log_sum_begin(first, s.heads, head, s.sequence);
  float factor[kOwn];
  for (int i = 0; i < kOwn; ++i) {
    factor[i] = 1.0f / total[i];
    const int r = y * kOwn + i;
    if (x == 0 && r < rows) logs[begin + r] = top[i] + logf(total[i]);
  }
  store_tile<kDim>(sum, factor, out, first + begin, rows, head * s.vd, s.vd);
}

}  // namespace

void tiled_attention(Exec& exec, const AttentionShape& shape, ConstTensorView qkv, TensorView out,
                     TensorView log_sum, const Documents& documents, bool unlisted_only) {
  with_float(qkv.dtype, "attention", [&](auto element) {
    using T = decltype(element);
    with_tile_width(shape, [&](auto width) {
      constexpr int kDim = decltype(width)::value;
      const AttentionSizes sizes(shape, TileShape<kDim>::kTile, documents, unlisted_only);
      launch_tiles(exec, "attention", &forward_kernel<T, kDim>,
                   shape.batch * shape.heads * sizes.tiles, kTileThreads, kForwardFloats<kDim>,
                   sizes, attention_noise(exec), qkv.rows<T>(), out.rows<T>(),
                   log_sum.data<float>());
    });
  });
}

}  // namespace moiety::ops::cuda
