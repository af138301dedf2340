// Norms at the widths where a row is spread over more threads, and at many rows.
#include "core/ops/norm.h"

#include <cmath>

#include "core/ops/elementwise.h"
#include "tests/unit/ops/op_test.h"

namespace moiety {

class NormSizes : public OpTest {
 protected:
  static constexpr double kEps = 1e-5;

  void check(int64_t T, int64_t D, bool center) {
    const TensorView x = random({T, D}, 1), added = random({T, D}, 2), dy = random({T, D}, 3);
    const TensorView w = random_f32({D}, 4), b = random_f32({D}, 5);
    const TensorView sum = make(dtype(), {T, D}), y = make(dtype(), {T, D});
    const TensorView stats = make(DType::kF32, {T, center ? 2 : 1});
    if (center) {
      ops::add_layer_norm(exec_, kEps, x, added, w, b, sum, y, stats);
    } else {
      ops::add_rms_norm(exec_, kEps, x, added, w, sum, y, stats);
    }
    const TensorView plain = make(dtype(), {T, D}), again = make(dtype(), {T, D});
    ops::dropout_add(exec_, "test", 0, added, x, plain);
    EXPECT_EQ(get(sum), get(plain));
    if (center) {
      ops::layer_norm(exec_, kEps, sum, w, b, again, stats);
    } else {
      ops::rms_norm(exec_, kEps, sum, w, again, stats);
    }
    EXPECT_EQ(get(y), get(again));

    const Vector in = wide(sum), g = wide(dy), fw = wide(w), fb = wide(b), rest = wide(x);
    Vector out(in.size()), dx(in.size()), dw(count(D)), db(count(D));
    const auto n = static_cast<double>(D);
    for (int64_t t = 0; t < T; ++t) {
      double mean = 0, square = 0, mean_g = 0, mean_gh = 0;
      const size_t at = count(t * D);
      for (size_t c = 0; center && c < count(D); ++c) mean += in[at + c] / n;
      for (size_t c = 0; c < count(D); ++c) {
        square += (in[at + c] - mean) * (in[at + c] - mean) / n;
      }
      const double rstd = 1 / std::sqrt(square + kEps);
      for (size_t c = 0; c < count(D); ++c) {
        const double h = (in[at + c] - mean) * rstd;
        out[at + c] = h * fw[c] + (center ? fb[c] : 0);
        if (center) mean_g += g[at + c] * fw[c] / n;
        mean_gh += g[at + c] * fw[c] * h / n;
        dw[c] += g[at + c] * h;
        db[c] += g[at + c];
      }
      for (size_t c = 0; c < count(D); ++c) {
        const double h = (in[at + c] - mean) * rstd;
        dx[at + c] = rstd * (g[at + c] * fw[c] - mean_g - h * mean_gh) + rest[at + c];
      }
    }
    near(y, out);
    Parameter::Impl weight = parameter(w, GradMode::kOverwrite, 7);
    Parameter::Impl bias = parameter(b, GradMode::kAccumulate, 0);
    const Parameter of_weight(&weight), of_bias(&bias);
    if (center) {
      ops::layer_norm_backward(exec_, sum, of_weight, &of_bias, stats, dy, x, x);
    } else {
      ops::rms_norm_backward(exec_, sum, of_weight, stats, dy, x, x);
    }
    near(x, dx, 2);
    EXPECT_LE(worst(get(weight.grad), reference::narrow(dw)), 2e-5) << T << " x " << D;
    if (!center) return;
    EXPECT_LE(worst(get(bias.grad), reference::narrow(db)), 2e-5) << T << " x " << D;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, NormSizes, kFloatDevices, case_name);

TEST_P(NormSizes, AcrossThreads) {
  for (const int64_t D : {8, 24, 264, 520, 1024, 1032, 2056, 4104, 8200, 8210}) {
    check(5, D, true);
    check(5, D, false);
  }
}

TEST_P(NormSizes, ManyRows) {
  for (const int64_t T : {1, 3, 513, 1030, 2100}) {
    check(T, 40, true);
    check(T, 40, false);
  }
}

TEST_P(NormSizes, FrozenVectorsGetNoGradient) {
  const TensorView x = random({6, 16}, 1), dy = random({6, 16}, 2), dx = make(dtype(), {6, 16});
  const TensorView w = random_f32({16}, 3), stats = make(DType::kF32, {6, 1});
  ops::rms_norm(exec_, kEps, x, w, dx, stats);
  Parameter::Impl frozen = parameter(w, GradMode::kNone);
  ops::rms_norm_backward(exec_, x, Parameter(&frozen), stats, dy, {}, dx);
  EXPECT_TRUE(std::isfinite(get(dx)[7]));
}

}  // namespace moiety
