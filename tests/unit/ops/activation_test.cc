// Activations over segments of slots, and their slopes.
#include <moiety/ops.h>

#include "core/ops/activation_functions.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {

namespace {

constexpr ops::Activation kAll[] = {ops::Activation::kRelu, ops::Activation::kReluSquared,
                                    ops::Activation::kGelu, ops::Activation::kGeluTanh,
                                    ops::Activation::kSilu};

double value_of(ops::Activation activation, double x) {
  switch (activation) {
    case ops::Activation::kRelu: return x > 0 ? x : 0;
    case ops::Activation::kReluSquared: return x > 0 ? x * x : 0;
    case ops::Activation::kGelu: return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case ops::Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ops::Activation::kSilu: return x / (1 + std::exp(-x));
  }
  return 0;
}

double slope_of(ops::Activation activation, double x) {
  const double h = 1e-5;
  return (value_of(activation, x + h) - value_of(activation, x - h)) / (2 * h);
}

}  // namespace

TEST(FastExp, IsExactToAboutOneUnit) {
  double worst_units = 0;
  for (double x = -86; x < 88.72; x += 1.37e-3) {
    const auto at = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(at));
    const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst_units =
        std::max(worst_units, std::abs(static_cast<double>(ops::fast_exp(at)) - exact) / unit);
  }
  EXPECT_LT(worst_units, 1.5);
  EXPECT_EQ(ops::fast_exp(0), 1.0f);
  EXPECT_EQ(ops::fast_exp(-INFINITY), 0.0f);
  EXPECT_EQ(ops::fast_exp(-1e30f), 0.0f);
  EXPECT_EQ(ops::fast_exp(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(ops::fast_exp(NAN)));
}

TEST(ActivationFunctions, ValueAndSlopeFollowTheDefinition) {
  for (const ops::Activation activation : kAll) {
    double value = 0, slope = 0;
    ops::with_activation(activation, [&](auto function) {
      for (double x = -20.0003; x < 20; x += 0.013) {
        const ops::ValueAndSlope at = decltype(function)::at(static_cast<float>(x));
        const double scale = std::max(1.0, std::abs(value_of(activation, x)));
        value = std::max(value, std::abs(double(at.value) - value_of(activation, x)) / scale);
        slope = std::max(slope, std::abs(double(at.slope) - slope_of(activation, x)) / scale);
      }
      const ops::ValueAndSlope low = decltype(function)::at(-INFINITY);
      EXPECT_NEAR(low.value, 0, 1e-30);
      EXPECT_NEAR(low.slope, 0, 1e-30);
      EXPECT_EQ(decltype(function)::at(INFINITY).value, INFINITY);
      EXPECT_TRUE(std::isnan(decltype(function)::at(NAN).value));
    });
    EXPECT_LT(value, 1e-6) << static_cast<int>(activation);
    EXPECT_LT(slope, 2e-6) << static_cast<int>(activation);
  }
}

class Activations : public OpTest {
 protected:
  /// Slots 1-3 and 5 of 8; segment 1 is empty.
  Segments segments() {
    Segments s;
    s.start = put(std::vector<int32_t>{1, 5, 5}, {3});
    s.count = put(std::vector<int32_t>{3, 0, 1}, {3});
    return s;
  }
  static bool used(size_t n) { return (n >= 1 && n < 4) || n == 5; }
  /// Values in segments, NaN outside: whoever reads padding shows it.
  TensorView slots(int64_t width, uint32_t seed) {
    std::vector<float> x = normal(count(8 * width), seed, 2);
    for (size_t i = 0; i < x.size(); ++i) {
      if (!used(i / count(width))) x[i] = NAN;
    }
    return put(x, dtype(), {8, width});
  }
  TensorView untouched(int64_t width) {
    return put(std::vector<float>(count(8 * width), -7), dtype(), {8, width});
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Activations, kFloatDevices, case_name);

TEST_P(Activations, PlainForwardAndBackwardInSegmentsOnly) {
  for (const ops::Activation activation : kAll) {
    for (const int64_t H : {1, 7, 150}) {
      const TensorView h = slots(H, 1), dout = slots(H, 2), out = untouched(H), dh = untouched(H);
      ops::activate(exec_, segments(), activation, h, out);
      ops::activate_backward(exec_, segments(), activation, h, dout, dh);
      const Vector x = wide(h), g = wide(dout);
      Vector y(x.size(), -7.0), dx(x.size(), -7.0);
      for (size_t i = 0; i < x.size(); ++i) {
        if (!used(i / count(H))) continue;
        y[i] = value_of(activation, x[i]);
        dx[i] = g[i] * slope_of(activation, x[i]);
      }
      near(out, y);
      near(dh, dx);
      ops::activate_backward(exec_, segments(), activation, h, dout, dout);  // in place
      const auto separate = get(dh), in_place = get(dout);
      for (size_t i = 0; i < x.size(); ++i) {
        if (used(i / count(H))) {
          EXPECT_EQ(separate[i], in_place[i]);
        }
      }
    }
  }
}

TEST_P(Activations, GatedForwardAndBackwardInSegmentsOnly) {
  for (const ops::Activation activation : kAll) {
    for (const int64_t H : {1, 7, 150}) {
      const TensorView h = slots(2 * H, 1), dout = slots(H, 2);
      const TensorView out = untouched(H), dh = untouched(2 * H);
      ops::gated_activate(exec_, segments(), activation, h, out);
      ops::gated_activate_backward(exec_, segments(), activation, h, dout, dh);
      const Vector x = wide(h), g = wide(dout);
      Vector y(g.size(), -7.0), dx(x.size(), -7.0);
      for (size_t n = 0; n < 8; ++n) {
        for (size_t c = 0; used(n) && c < count(H); ++c) {
          const size_t gate = n * count(2 * H) + c, up = gate + count(H), i = n * count(H) + c;
          y[i] = value_of(activation, x[gate]) * x[up];
          dx[gate] = g[i] * x[up] * slope_of(activation, x[gate]);
          dx[up] = g[i] * value_of(activation, x[gate]);
        }
      }
      near(out, y);
      near(dh, dx);
      ops::gated_activate_backward(exec_, segments(), activation, h, dout, h);  // in place
      const auto separate = get(dh), in_place = get(h);
      for (size_t i = 0; i < x.size(); ++i) {
        if (used(i / count(2 * H))) {
          EXPECT_EQ(separate[i], in_place[i]);
        }
      }
    }
  }
}

}  // namespace moiety
