// Ops of expert functions against plain loops in double, on both devices; on CUDA with the card's
// own kernels and with the portable ones.
#include <moiety/expert_ops.h>

#include "core/device/build.h"
#include "core/ops/activation_functions.h"
#include "core/ops/gemm_backends.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {
namespace {

/// R tokens, their slots in segments with padding between, D columns, H hidden.
struct Layout {
  int64_t tokens, slots, experts, D, H;
  std::vector<int32_t> start, count;
  bool by_row = true, weighted = true;
};

const Layout kLayouts[] = {
    {20, 40, 3, 16, 24, {2, 20, 20}, {17, 0, 19}},
    {700, 700, 2, 72, 136, {0, 160, 300, 520}, {150, 130, 200, 180}, false, true},
    {90, 300, 5, 200, 328, {0, 0, 290, 0, 0}, {290, 0, 9, 0, 0}, true, false},
    {6, 9, 2, 5, 7, {0, 4}, {3, 5}},  // nothing is a multiple of 16 bytes
    {4, 5, 4, 8, 8, {0, 0, 0, 0}, {0, 0, 0, 0}},
};

class ExpertOpsTest : public OpTest {
 protected:
  void TearDown() override {
    if constexpr (kCuda) ops::cuda::force_portable_kernels(false);
    OpTest::TearDown();
  }

  /// body(layout) for every layout, with both kinds of kernels where there are two.
  template <class F>
  void each_layout(const F& body) {
    for (const bool portable : {true, false}) {
      if constexpr (kCuda) ops::cuda::force_portable_kernels(portable);
      for (const Layout& l : kLayouts) {
        SCOPED_TRACE(std::to_string(l.slots) + (portable ? " slots, portable" : " slots"));
        use(l);
        body(l);
      }
    }
  }

  static size_t at(int64_t row, int64_t width, int64_t column) {
    return static_cast<size_t>(row * width + column);
  }
  double value(const Vector& m, int64_t row, int64_t width, int64_t column) const {
    return m[at(row, width, column)];
  }
  /// fn(slot, row, expert, weight) for every slot inside a segment.
  template <class F>
  void each_slot(const Layout& l, const F& fn) const {
    for (size_t g = 0; g < l.start.size(); ++g) {
      for (int64_t n = l.start[g]; n < l.start[g] + l.count[g]; ++n) {
        fn(n, l.by_row ? rows_of_[count(n)] : n, static_cast<int64_t>(g) % l.experts,
           l.weighted ? static_cast<double>(weights_[count(n)]) : 1.0);
      }
    }
  }
  TensorView filled(DType type, int64_t rows, int64_t columns) {
    const TensorView t = make(type, {rows, columns});
    ops::fill(exec_, t, kBefore);
    return t;
  }
  Vector before(int64_t rows, int64_t columns) const {
    return Vector(count(rows * columns), kBefore);
  }
  static ops::ValueAndSlope silu(double x) { return ops::Silu::at(static_cast<float>(x)); }
  static ops::ValueAndSlope gelu(double x) { return ops::Gelu::at(static_cast<float>(x)); }

  static constexpr double kBefore = -7;
  ExpertBatch batch_;
  std::vector<int32_t> rows_of_;
  std::vector<float> weights_;

 private:
  void use(const Layout& l) {
    const auto G = static_cast<int64_t>(l.start.size());
    batch_ = {};
    batch_.start = put(l.start, {G});
    batch_.count = put(l.count, {G});
    rows_of_.assign(count(l.slots), -1);
    weights_ = normal(count(l.slots), 9);
    each_slot(l, [&](int64_t n, int64_t, int64_t, double) {
      rows_of_[count(n)] = static_cast<int32_t>((n * 7 + 3) % l.tokens);
    });
    if (l.by_row) batch_.row = put(rows_of_, {l.slots});
    if (l.weighted) batch_.weight = put(weights_, DType::kF32, {l.slots});
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ExpertOpsTest, kFloatDevices, case_name);

TEST_P(ExpertOpsTest, UpIsProductBiasAndActivation) {
  each_layout([&](const Layout& l) {
    const TensorView x = random({l.tokens, l.D}, 1), w = random({l.experts, l.D, l.H}, 2, 0.2f);
    const TensorView bias = random_f32({l.experts, l.H}, 3);
    const TensorView h = filled(dtype(), l.slots, l.H), a = filled(dtype(), l.slots, l.H);
    ops::expert_up(exec_, batch_, ops::Activation::kGelu, x, w, bias, h, a);
    const Vector fx = wide(x), fw = wide(w), fb = wide(bias);
    Vector want_h = before(l.slots, l.H), want_a = want_h;
    each_slot(l, [&](int64_t n, int64_t row, int64_t e, double) {
      for (int64_t j = 0; j < l.H; ++j) {
        double sum = value(fb, e, l.H, j);
        for (int64_t k = 0; k < l.D; ++k) {
          sum += value(fx, row, l.D, k) * value(fw, e * l.D + k, l.H, j);
        }
        want_h[at(n, l.H, j)] = sum;
        want_a[at(n, l.H, j)] = static_cast<double>(gelu(sum).value);
      }
    });
    near(h, want_h);
    near(a, want_a);
  });
}

TEST_P(ExpertOpsTest, GatedUpMultipliesTheHalves) {
  each_layout([&](const Layout& l) {
    const TensorView x = random({l.tokens, l.D}, 1), w = random({l.experts, l.D, 2, l.H}, 2, 0.2f);
    const TensorView h = filled(dtype(), l.slots, 2 * l.H), a = filled(dtype(), l.slots, l.H);
    ops::gated_expert_up(exec_, batch_, ops::Activation::kSilu, x, w, h, a);
    const Vector fx = wide(x), fw = wide(w);
    Vector want_h = before(l.slots, 2 * l.H), want_a = before(l.slots, l.H);
    each_slot(l, [&](int64_t n, int64_t row, int64_t e, double) {
      for (int64_t j = 0; j < 2 * l.H; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < l.D; ++k) {
          sum += value(fx, row, l.D, k) * value(fw, e * l.D + k, 2 * l.H, j);
        }
        want_h[at(n, 2 * l.H, j)] = sum;
      }
      for (int64_t j = 0; j < l.H; ++j) {
        want_a[at(n, l.H, j)] = static_cast<double>(silu(value(want_h, n, 2 * l.H, j)).value) *
                                value(want_h, n, 2 * l.H, l.H + j);
      }
    });
    near(h, want_h);
    near(a, want_a);
  });
}

TEST_P(ExpertOpsTest, DownBackwardYieldsEverythingFromOneProduct) {
  each_layout([&](const Layout& l) {
    for (const bool gated : {false, true}) {
      const int64_t width = gated ? 2 * l.H : l.H;
      const TensorView dout = random({l.tokens, l.D}, 1);
      const TensorView w = random({l.experts, l.H, l.D}, 2, 0.2f);
      const TensorView h = random({l.slots, width}, 3);
      const TensorView dh = filled(dtype(), l.slots, width), a = filled(dtype(), l.slots, l.H);
      const TensorView dweight =
          put(std::vector<float>(count(l.slots), -7), DType::kF32, {l.slots});
      if (gated) {
        ops::gated_expert_down_backward(exec_, batch_, ops::Activation::kSilu, dout, w, h, dh, a,
                                        dweight);
      } else {
        ops::expert_down_backward(exec_, batch_, ops::Activation::kSilu, dout, w, h, dh, a,
                                  dweight);
      }
      const Vector fd = wide(dout), fw = wide(w), fh = wide(h);
      Vector want_dh = before(l.slots, width), want_a = before(l.slots, l.H);
      Vector want_dot(count(l.slots), -7);
      each_slot(l, [&](int64_t n, int64_t row, int64_t e, double weight) {
        double dot = 0;
        for (int64_t j = 0; j < l.H; ++j) {
          double da = 0;
          for (int64_t k = 0; k < l.D; ++k) {
            da += value(fd, row, l.D, k) * value(fw, e * l.H + j, l.D, k);
          }
          const auto f = silu(value(fh, n, width, j));
          const double up = gated ? value(fh, n, width, l.H + j) : 1;
          const double act = static_cast<double>(f.value) * up;
          dot += act * da;
          want_a[at(n, l.H, j)] = weight * act;
          want_dh[at(n, width, j)] = weight * da * up * static_cast<double>(f.slope);
          if (gated) want_dh[at(n, width, l.H + j)] = weight * da * static_cast<double>(f.value);
        }
        want_dot[count(n)] = dot;
      });
      near(dh, want_dh);
      near(a, want_a);
      near(dweight, want_dot);
    }
  });
}

TEST_P(ExpertOpsTest, GradientsReadOneOperandByRow) {
  each_layout([&](const Layout& l) {
    for (const auto by_row : {ops::ByRow::kA, ops::ByRow::kDout}) {
      for (const GradMode mode : {GradMode::kOverwrite, GradMode::kAccumulate}) {
        const bool a_by_row = by_row == ops::ByRow::kA;
        const TensorView a = random({a_by_row ? l.tokens : l.slots, l.D}, 1);
        const TensorView dout = random({a_by_row ? l.slots : l.tokens, l.H}, 2);
        Parameter::Impl w;
        w.mode = mode;
        w.grad = random_f32({l.experts, l.D, l.H}, 3);
        Vector want =
            mode == GradMode::kAccumulate ? wide(w.grad) : Vector(count(l.experts * l.D * l.H), 0);
        ops::grouped_gemm_grad_by_row(exec_, batch_, by_row, a, dout, Parameter(&w));
        const Vector fa = wide(a), fd = wide(dout);
        each_slot(l, [&](int64_t n, int64_t row, int64_t e, double) {
          for (int64_t k = 0; k < l.D; ++k) {
            for (int64_t j = 0; j < l.H; ++j) {
              want[at(e * l.D + k, l.H, j)] +=
                  value(fa, a_by_row ? row : n, l.D, k) * value(fd, a_by_row ? n : row, l.H, j);
            }
          }
        });
        EXPECT_LE(worst(get(w.grad), reference::narrow(want)), 1e-5);
      }
    }
  });
}

TEST_P(ExpertOpsTest, AnOutputBiasAndTheCombineWeights) {
  each_layout([&](const Layout& l) {
    const TensorView dout = random({l.tokens, l.D}, 1), bias = random_f32({l.experts, l.D}, 2);
    const TensorView dweight = random_f32({l.slots}, 3);
    const Vector fd = wide(dout), fb = wide(bias);
    Vector want_dot = wide(dweight), want(count(l.experts * l.D), 0);
    each_slot(l, [&](int64_t n, int64_t row, int64_t e, double weight) {
      for (int64_t d = 0; d < l.D; ++d) {
        want_dot[count(n)] += value(fb, e, l.D, d) * value(fd, row, l.D, d);
        want[at(e, l.D, d)] += weight * value(fd, row, l.D, d);
      }
    });
    Parameter::Impl b = parameter(bias, GradMode::kOverwrite, 5);
    ops::grouped_bias_grad_by_row(exec_, batch_, dout, Parameter(&b));
    ops::grouped_bias_dot(exec_, batch_, bias, dout, dweight);
    EXPECT_LE(worst(get(b.grad), reference::narrow(want)), 1e-5);
    EXPECT_LE(worst(get(dweight), reference::narrow(want_dot)), 1e-5);
  });
}

TEST_P(ExpertOpsTest, RefuseWhatDoesNotFit) {
  each_layout([&](const Layout& l) {
    const TensorView x = make(dtype(), {l.tokens, l.D});
    const TensorView h = make(dtype(), {l.slots, l.H}), a = make(dtype(), {l.slots, l.H});
    const TensorView wrong = make(dtype(), {l.experts, l.D, l.H + 1});
    EXPECT_THROW(ops::expert_up(exec_, batch_, ops::Activation::kRelu, x, wrong, {}, h, a), Error);
    EXPECT_THROW(
        ops::expert_down_backward(exec_, batch_, ops::Activation::kRelu, x, wrong, h, h, a, {}),
        Error);
  });
}

}  // namespace
}  // namespace moiety
