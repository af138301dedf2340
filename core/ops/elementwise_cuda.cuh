// Bias, residual and dropout on a GPU, in packs.
#pragma once

#include <moiety/rng.h>

#include "core/ops/pack_rows.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

/// x += bias of the row's segment, modulo the number of biases.
template <class T, int kWidth>
struct AddBiasPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float x[kWidth];
  };
  Rows<const float> bias;  // [L, columns]
  int64_t L;
  Rows<T> x;
  __device__ Values load(int64_t row, int64_t c) const {
    Values v;
    load_pack<kWidth>(x[row] + c, v.x);
    return v;
  }
  __device__ void store(int64_t row, int64_t c, int64_t segment, Values& v) const {
    float b[kWidth];
    load_pack<kWidth>(bias[segment < L ? segment : segment % L] + c, b);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v.x[i] += b[i];
    store_pack<kWidth>(v.x, x[row] + c);
  }
};

/// out = x, or x + residual.
template <class T, int kWidth>
struct SumPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float x[kWidth], rest[kWidth];
  };
  Rows<const T> x, residual;
  Rows<T> out;
  __device__ Values load(int64_t row, int64_t c) const {
    Values v;
    load_pack<kWidth>(x[row] + c, v.x);
    if (residual.ptr != nullptr) load_pack<kWidth>(residual[row] + c, v.rest);
    return v;
  }
  __device__ void store(int64_t row, int64_t c, int64_t, Values& v) const {
    if (residual.ptr != nullptr) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) v.x[i] += v.rest[i];
    }
    store_pack<kWidth>(v.x, out[row] + c);
  }
};

/// out = residual + mask x / (1 - rate), the noise drawn four columns at a time.
template <class T, int kWidth>
struct DropoutPack {
  static_assert(kWidth % 4 == 0);
  static constexpr int kPack = kWidth;
  using Values = typename SumPack<T, kWidth>::Values;
  SumPack<T, kWidth> sum;
  Rng rng;
  float rate, factor;
  __device__ Values load(int64_t row, int64_t c) const { return sum.load(row, c); }
  __device__ void store(int64_t row, int64_t c, int64_t segment, Values& v) const {
#pragma unroll
    for (int block = 0; block < kWidth / 4; ++block) {
      float noise[4];
      rng.uniform4(row, c / 4 + block, noise);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = v.x[4 * block + i];
        x = noise[i] < rate ? 0.0f : x * factor;
      }
    }
    sum.store(row, c, segment, v);
  }
};

}  // namespace moiety::ops

#endif
