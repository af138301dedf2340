// Activations on a GPU, in packs.
#pragma once

#include "core/ops/activation_functions.h"
#include "core/ops/pack_rows.cuh"

#if defined(__CUDACC__)

namespace moiety::ops {

template <class Function>
struct ValueOf {
  __device__ float operator()(float x) const { return Function::at(x).value; }
};

template <class T, int kWidth, class Function>
struct ActivateBackwardPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float h[kWidth], d[kWidth];
  };
  Rows<const T> h, dout;
  Rows<T> dh;
  __device__ Values load(int64_t row, int64_t c) const {
    Values v;
    load_pack<kWidth>(h[row] + c, v.h);
    load_pack<kWidth>(dout[row] + c, v.d);
    return v;
  }
  __device__ void store(int64_t row, int64_t c, int64_t, Values& v) const {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v.d[i] *= Function::at(v.h[i]).slope;
    store_pack<kWidth>(v.d, dh[row] + c);
  }
};

template <class T, int kWidth, class Function>
struct GatedActivatePack {
  static constexpr int kPack = kWidth;
  struct Values {
    float gate[kWidth], up[kWidth];
  };
  Rows<const T> h;  // [N, 2H]: gate, then up
  Rows<T> out;
  int64_t H;
  __device__ Values load(int64_t row, int64_t c) const {
    Values v;
    load_pack<kWidth>(h[row] + c, v.gate);
    load_pack<kWidth>(h[row] + H + c, v.up);
    return v;
  }
  __device__ void store(int64_t row, int64_t c, int64_t, Values& v) const {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) v.up[i] *= Function::at(v.gate[i]).value;
    store_pack<kWidth>(v.up, out[row] + c);
  }
};

template <class T, int kWidth, class Function>
struct GatedActivateBackwardPack {
  static constexpr int kPack = kWidth;
  struct Values {
    float gate[kWidth], up[kWidth], d[kWidth];
  };
  Rows<const T> h, dout;
  Rows<T> dh;  // [N, 2H]; may be h itself
  int64_t H;
  __device__ Values load(int64_t row, int64_t c) const {
    Values v;
    load_pack<kWidth>(h[row] + c, v.gate);
    load_pack<kWidth>(h[row] + H + c, v.up);
    load_pack<kWidth>(dout[row] + c, v.d);
    return v;
  }
  __device__ void store(int64_t row, int64_t c, int64_t, Values& v) const {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const ValueAndSlope f = Function::at(v.gate[i]);
      v.gate[i] = v.d[i] * v.up[i] * f.slope;
      v.up[i] = v.d[i] * f.value;
    }
    store_pack<kWidth>(v.gate, dh[row] + c);
    store_pack<kWidth>(v.up, dh[row] + H + c);
  }
};

}  // namespace moiety::ops

#endif
