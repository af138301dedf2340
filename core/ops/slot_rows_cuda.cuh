// Rows of slots on a GPU, in packs: gathered, scaled, summed up by token.
#pragma once

#include "core/ops/pack_rows.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

template <class T, int kWidth>
struct GatherPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float x[kWidth];
  };
  const int32_t* row_of;  // -1 in padding; null: slot n is row n
  Rows<const T> x;
  Rows<T> out;
  __device__ int64_t source(int64_t n) const { return row_of != nullptr ? row_of[n] : n; }
  __device__ Values load(int64_t n, int64_t c) const {
    Values v;
    const int64_t from = source(n);
    if (from >= 0) load_pack<kWidth>(x[from] + c, v.x);
    return v;
  }
  __device__ void store(int64_t n, int64_t c, int64_t, Values& v) const {
    if (source(n) >= 0) store_pack<kWidth>(v.x, out[n] + c);
  }
};

/// x[n] *= weight[n].
template <class T, int kWidth>
struct ScalePack {
  static constexpr int kPack = kWidth;
  struct Values {
    float x[kWidth];
  };
  const float* weight;
  Rows<T> x;
  __device__ Values load(int64_t n, int64_t c) const {
    Values v;
    load_pack<kWidth>(x[n] + c, v.x);
    return v;
  }
  __device__ void store(int64_t n, int64_t c, int64_t, Values& v) const {
    const float w = weight[n];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v.x[i] *= w;
    store_pack<kWidth>(v.x, x[n] + c);
  }
};

/// out[t] = (or +=) the sum of weight * y over a token's slots, in their order.
template <class T, int kWidth>
struct SumSlotsPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float sum[kWidth];
  };
  const int32_t* slot;  // [T, per_token], -1 where there is none
  int64_t per_token;
  const float* weight;  // null: all 1
  Rows<const T> y;
  Rows<T> out;
  bool accumulate;
  __device__ Values load(int64_t t, int64_t c) const {
    Values v;
    if (accumulate) {
      load_pack<kWidth>(out[t] + c, v.sum);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) v.sum[i] = 0;
    }
#pragma unroll 2
    for (int64_t k = 0; k < per_token; ++k) {
      const int32_t n = slot[t * per_token + k];
      if (n < 0) continue;
      const float w = weight != nullptr ? weight[n] : 1.f;
      float x[kWidth];
      load_pack<kWidth>(y[n] + c, x);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) v.sum[i] += w * x[i];
    }
    return v;
  }
  __device__ void store(int64_t t, int64_t c, int64_t, Values& v) const {
    store_pack<kWidth>(v.sum, out[t] + c);
  }
};

/// out[n] = <a[n], b[n]> of the slots in a segment; a warp a slot.
template <int kWidth, class T>
__global__ void row_dot_kernel(RowsInSegments slots, Rows<const T> a, Rows<const T> b, int64_t N,
                               int64_t D, float* out) {
  const int64_t n = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (n >= N) return;
  float sum = 0;
#pragma unroll 4
  for (int64_t c = int64_t{threadIdx.x % 32} * kWidth; c < D; c += int64_t{32} * kWidth) {
    float x[kWidth], y[kWidth];
    load_pack<kWidth>(a[n] + c, x);
    load_pack<kWidth>(b[n] + c, y);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum += x[i] * y[i];
  }
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (slots.find(n) >= 0 && threadIdx.x % 32 == 0) out[n] = sum;
}

/// out = a * wa + b * wb, weights by row.
template <class T, int kWidth>
struct MixPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float a[kWidth], b[kWidth];
  };
  Rows<const T> a, b;    // b may be null
  const float *wa, *wb;  // null: all 1
  Rows<T> out;
  __device__ Values load(int64_t t, int64_t c) const {
    Values v;
    load_pack<kWidth>(a[t] + c, v.a);
    if (b.ptr != nullptr) load_pack<kWidth>(b[t] + c, v.b);
    return v;
  }
  __device__ void store(int64_t t, int64_t c, int64_t, Values& v) const {
    const float of_a = wa != nullptr ? wa[t] : 1.f, of_b = wb != nullptr ? wb[t] : 1.f;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      v.a[i] *= of_a;
      if (b.ptr != nullptr) v.a[i] += v.b[i] * of_b;
    }
    store_pack<kWidth>(v.a, out[t] + c);
  }
};

}  // namespace moiety::ops

#endif
