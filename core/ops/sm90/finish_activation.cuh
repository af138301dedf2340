// Activations in the same pass as the product before them, and their backward in the same pass as
// the product that brings their gradient. All roundings are those of the separate ops.
#pragma once

#include <cstdint>

#include "core/ops/activation_functions.h"
#include "core/ops/sm90/finish.cuh"

namespace moiety::ops::sm90 {

/// f(Function{}) with the struct of `activation`, on the device.
template <class F>
__device__ inline void with_function(int activation, const F& f) {
  switch (static_cast<Activation>(activation)) {
    case Activation::kRelu: return f(Relu{});
    case Activation::kReluSquared: return f(ReluSquared{});
    case Activation::kGelu: return f(Gelu{});
    case Activation::kGeluTanh: return f(GeluTanh{});
    case Activation::kSilu: return f(Silu{});
  }
}

/// Eight numbers of a row, taken and rounded in pairs: one instruction for both.
template <class T>
struct Piece {
  uint32_t pair[4];
  __device__ Piece() {}
  __device__ explicit Piece(uint4 all) : pair{all.x, all.y, all.z, all.w} {}
  __device__ float2 operator[](int i) const { return unpack<T>(pair[i]); }
  __device__ void set(int i, float low, float high) { pair[i] = pack<T>(low, high); }
  __device__ uint4 whole() const { return {pair[0], pair[1], pair[2], pair[3]}; }
};

template <class T>
__device__ inline uint4* piece_at(T* matrix, int64_t pitch, int64_t row, int64_t column) {
  return reinterpret_cast<uint4*>(matrix + row * pitch + column);
}
template <class T>
__device__ inline const uint4* piece_at(const T* matrix, int64_t pitch, int64_t row,
                                        int64_t column) {
  return reinterpret_cast<const uint4*>(matrix + row * pitch + column);
}

template <class T>
struct ActivatedArguments {
  T *h, *activated;
  int64_t h_pitch, activated_pitch;
  const float* bias;  // [experts, width] or null
  int width;          // H
  int activation;
};

/// h = sums + bias, activated = act(h).
template <class T>
class StoreActivated {
 public:
  using Staged = T;
  using Boxes = NoBoxes;
  static constexpr bool kGated = false, kMuchCode = true, kBoxes = false;
  static constexpr int kBuffers = 1;
  using Arguments = ActivatedArguments<T>;
  __device__ StoreActivated(const Arguments& p, const Place& place) : p_(p), place_(place) {}
  __device__ void load(int, int, int column) {
    if (p_.bias == nullptr) return;
    const auto* bias = reinterpret_cast<const float4*>(p_.bias + int64_t{place_.expert} * p_.width +
                                                       place_.column + column);
    next_[0] = bias[0];
    next_[1] = bias[1];
  }
  __device__ void take() {
    bias_[0] = next_[0];
    bias_[1] = next_[1];
  }
  __device__ void finish(int, int row, int column, uint4 sums) {
    Piece<T> h(sums), activated;
    const int64_t n = place_.row + row, c = place_.column + column;
    if (p_.bias != nullptr) {
      const float bias[8] = {bias_[0].x, bias_[0].y, bias_[0].z, bias_[0].w,
                             bias_[1].x, bias_[1].y, bias_[1].z, bias_[1].w};
#pragma unroll
      for (int j = 0; j < 4; ++j) h.set(j, h[j].x + bias[2 * j], h[j].y + bias[2 * j + 1]);
    }
    with_function(p_.activation, [&](auto function) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        activated.set(j, decltype(function)::at(h[j].x).value,
                      decltype(function)::at(h[j].y).value);
      }
    });
    *piece_at(p_.h, p_.h_pitch, n, c) = h.whole();
    *piece_at(p_.activated, p_.activated_pitch, n, c) = activated.whole();
  }
  __device__ void end() {}

 private:
  const Arguments& p_;
  const Place& place_;
  float4 bias_[2], next_[2];
};

/// h [N, 2H] = gate and up, activated = act(gate) * up.
template <class T>
class StoreGated {
 public:
  using Staged = T;
  using Boxes = NoBoxes;
  static constexpr bool kGated = true, kMuchCode = true, kBoxes = false;
  static constexpr int kBuffers = 2;
  using Arguments = ActivatedArguments<T>;
  __device__ StoreGated(const Arguments& p, const Place& place) : p_(p), place_(place) {}
  __device__ void load(int, int, int) {}
  __device__ void take() {}
  __device__ void finish(int, int row, int column, uint4 gate_sums, uint4 up_sums) {
    const Piece<T> gate(gate_sums), up(up_sums);
    Piece<T> activated;
    const int64_t n = place_.row + row, c = place_.column + column;
    with_function(p_.activation, [&](auto function) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        activated.set(j, decltype(function)::at(gate[j].x).value * up[j].x,
                      decltype(function)::at(gate[j].y).value * up[j].y);
      }
    });
    *piece_at(p_.h, p_.h_pitch, n, c) = gate.whole();
    *piece_at(p_.h, p_.h_pitch, n, c + p_.width) = up.whole();
    *piece_at(p_.activated, p_.activated_pitch, n, c) = activated.whole();
  }
  __device__ void end() {}

 private:
  const Arguments& p_;
  const Place& place_;
};

template <class T>
struct ActivatedBackwardArguments {
  const T* h;
  T *dh, *activated;
  int64_t h_pitch, dh_pitch, activated_pitch;
  const float* weight;  // [N] or null
  float* dot_parts;     // [N, parts] or null
  int parts;
  int width;  // H
  int activation;
};

/// From dA, the sums: A = act(h), or act(gate) * up of h's halves; dh = weight dA act'; activated =
/// weight A; and this tile's part of <A, dA>.
template <class T, bool kTwoHalves>
class ActivationBackward {
 public:
  using Staged = T;
  using Boxes = NoBoxes;
  static constexpr bool kGated = false, kMuchCode = true,
                        kBoxes = false;  // the sums themselves have one half
  static constexpr int kBuffers = 1;
  using Arguments = ActivatedBackwardArguments<T>;
  __device__ ActivationBackward(const Arguments& p, const Place& place) : p_(p), place_(place) {}
  __device__ void load(int, int row, int column) {
    const int64_t n = place_.row + row, c = place_.column + column;
    next_h_ = *piece_at(p_.h, p_.h_pitch, n, c);
    if constexpr (kTwoHalves) next_up_ = *piece_at(p_.h, p_.h_pitch, n, c + p_.width);
    next_weight_ = p_.weight == nullptr ? 1 : p_.weight[n];
  }
  __device__ void take() {
    h_ = next_h_;
    up_ = next_up_;
    weight_ = next_weight_;
  }
  __device__ void finish(int i, int row, int column, uint4 sums) {
    const Piece<T> da(sums), h(h_), up(up_);
    Piece<T> activated, dh, dup;
    float dot = 0;
    const float weight = weight_;
    with_function(p_.activation, [&](auto function) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const ValueAndSlope x = decltype(function)::at(h[j].x), y = decltype(function)::at(h[j].y);
        if constexpr (kTwoHalves) {
          activated.set(j, x.value * up[j].x, y.value * up[j].y);
        } else {
          activated.set(j, x.value, y.value);
        }
        dot += activated[j].x * da[j].x;
        dot += activated[j].y * da[j].y;
        activated.set(j, activated[j].x * weight, activated[j].y * weight);
        const float2 d = unpack<T>(pack<T>(da[j].x * weight, da[j].y * weight));
        if constexpr (kTwoHalves) {
          dh.set(j, d.x * up[j].x * x.slope, d.y * up[j].y * y.slope);
          dup.set(j, d.x * x.value, d.y * y.value);
        } else {
          dh.set(j, d.x * x.slope, d.y * y.slope);
        }
      }
    });
#pragma unroll
    for (int r = 0; r < 4; ++r) dot_[r] += r == i ? dot : 0;  // no index at run time
    const int64_t n = place_.row + row, c = place_.column + column;
    *piece_at(p_.dh, p_.dh_pitch, n, c) = dh.whole();
    if constexpr (kTwoHalves) *piece_at(p_.dh, p_.dh_pitch, n, c + p_.width) = dup.whole();
    *piece_at(p_.activated, p_.activated_pitch, n, c) = activated.whole();
  }
  __device__ void end() {
    if (p_.dot_parts == nullptr) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float sum = dot_[i];
#pragma unroll
      for (int offset = 1; offset < 8; offset *= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, offset);
      }
      const int row = 4 * i + lane() / 8;
      if (lane() % 8 == 0 && row < place_.bounds.rows && place_.bounds.columns > 0) {
        p_.dot_parts[(place_.row + row) * p_.parts + place_.column_tile] = sum;
      }
    }
  }

 private:
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }
  const Arguments& p_;
  const Place& place_;
  float dot_[4] = {}, weight_, next_weight_;
  uint4 h_, up_, next_h_, next_up_;
};

}  // namespace moiety::ops::sm90
