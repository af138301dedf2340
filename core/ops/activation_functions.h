// The activation functions and their slopes at one point, the same on both devices.
#pragma once

#include <cmath>

#include <moiety/ops.h>

#include "core/ops/fast_exp.h"

namespace moiety::ops {

/// 1 / (1 + e^-x).
MOIETY_HD inline float sigmoid(float x) { return reciprocal(1.0f + native_exp(-x)); }

struct ValueAndSlope {
  float value, slope;
};

struct Relu {
  static MOIETY_HD ValueAndSlope at(float x) { return {x < 0 ? 0.0f : x, x > 0 ? 1.0f : 0.0f}; }
};

struct ReluSquared {
  static MOIETY_HD ValueAndSlope at(float x) {
    const float positive = x < 0 ? 0.0f : x;  // NaN passes
    return {positive * positive, 2 * positive};
  }
};

/// x Phi(x), with Phi the normal distribution.
struct Gelu {
  static MOIETY_HD ValueAndSlope at(float x) {
    const float bell = native_exp(-0.5f * (x * x));
    // erfc(z) = e^(-z^2) t P(t), t = 1 / (1 + 0.3 z), for z = |x| / sqrt(2); P by a minimax fit on
    // 0 <= z <= 9.4, relative error 2e-8.
    const float t = reciprocal(1.0f + 0.3f * 0.70710678f * fabsf(x));
    float p = -1.294066906e-1f;
    p = p * t + 4.849523902e-1f;
    p = p * t - 5.109013915e-1f;
    p = p * t + 5.459848642e-1f;
    p = p * t - 9.331511706e-2f;
    p = p * t + 2.142841071e-1f;
    p = p * t + 1.485270411e-1f;
    p = p * t + 1.706846654e-1f;
    p = p * t + 1.691901237e-1f;
    const float tail = 0.5f * bell * (t * p);
    const float phi = x < 0 ? tail : 1.0f - tail;
    // Beyond +-13.5 the bell is 0 in f32; the bounds keep an infinite x from making 0 * infinity.
    const float above = at_least(x, -13.5f), bounded = at_most(above, 13.5f);
    return {above * phi, phi + bounded * (0.39894228f * bell)};
  }
};

/// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluTanh {
  static MOIETY_HD ValueAndSlope at(float x) {
    // Flat beyond +-16; no infinity times 0.
    const float above = at_least(x, -16.0f), bounded = at_most(above, 16.0f);
    const float square = bounded * bounded;
    const float s = sigmoid(1.59576912f * (bounded * (1.0f + 0.044715f * square)));
    const float slope = 1.59576912f * (1.0f + 0.134145f * square);  // of 2 u
    return {above * s, s + bounded * (s * (1.0f - s)) * slope};
  }
};

struct Silu {
  static MOIETY_HD ValueAndSlope at(float x) {
    const float above = at_least(x, -80.0f), bounded = at_most(above, 80.0f);
    const float s = sigmoid(bounded);
    return {above * s, s + bounded * (s * (1.0f - s))};
  }
};

/// Calls f(Function{}) with the struct of `activation`.
template <class F>
void with_activation(Activation activation, const F& f) {
  switch (activation) {
    case Activation::kRelu: return f(Relu{});
    case Activation::kReluSquared: return f(ReluSquared{});
    case Activation::kGelu: return f(Gelu{});
    case Activation::kGeluTanh: return f(GeluTanh{});
    case Activation::kSilu: return f(Silu{});
  }
}

}  // namespace moiety::ops
