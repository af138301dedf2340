// Layer norm and RMS norm against float64 loops and finite differences.
#include "core/ops/norm.h"

#include "tests/unit/ops/op_test.h"

namespace moiety {

class Norm : public OpTest {
 protected:
  static constexpr double kEps = 1e-5;

  struct Case {
    TensorView x, weight, bias, y, statistics, dy, residual, dx;
  };
  Case make_case(int64_t T, int64_t D, bool center) {
    Case c;
    c.x = random({T, D}, 1);
    c.weight = random_f32({D}, 2);
    c.bias = random_f32({D}, 3);
    c.y = make(dtype(), {T, D});
    c.statistics = make(DType::kF32, {T, center ? 2 : 1});
    c.dy = random({T, D}, 4);
    c.residual = random({T, D}, 5);
    c.dx = make(dtype(), {T, D});
    return c;
  }
  void forward(Exec& exec, const Case& c, bool center) {
    if (center) {
      ops::layer_norm(exec, kEps, c.x, c.weight, c.bias, c.y, c.statistics);
    } else {
      ops::rms_norm(exec, kEps, c.x, c.weight, c.y, c.statistics);
    }
  }
  void check(int64_t T, int64_t D, bool center) {
    const Case c = make_case(T, D, center);
    forward(exec_, c, center);
    const Vector x = wide(c.x), w = wide(c.weight), dy = wide(c.dy);
    const Vector b = center ? wide(c.bias) : Vector{};
    near(c.y, reference::norm(x, w, b, kEps, center));

    Parameter::Impl weight = parameter(c.weight, GradMode::kAccumulate, 0.5f);
    Parameter::Impl bias = parameter(c.bias, GradMode::kOverwrite, 9);
    const Parameter weight_handle(&weight), bias_handle(&bias);
    if (center) {
      ops::layer_norm_backward(exec_, c.x, weight_handle, &bias_handle, c.statistics, c.dy,
                               c.residual, c.dx);
    } else {
      ops::rms_norm_backward(exec_, c.x, weight_handle, c.statistics, c.dy, c.residual, c.dx);
    }
    Vector dx = reference::gradient(
        [&](const Vector& at) { return reference::norm(at, w, b, kEps, center); }, x, dy);
    const Vector residual = wide(c.residual);
    for (size_t i = 0; i < dx.size(); ++i) dx[i] += residual[i];
    near(c.dx, dx, 3);
    Vector dw = reference::gradient(
        [&](const Vector& at) { return reference::norm(x, at, b, kEps, center); }, w, dy);
    for (double& g : dw) g += 0.5;
    near(weight.grad, dw);
    if (!center) return;
    const Vector db = reference::gradient(
        [&](const Vector& at) { return reference::norm(x, w, at, kEps, true); }, b, dy);
    near(bias.grad, db);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Norm, kFloatDevices, case_name);

TEST_P(Norm, OneNarrowRow) {
  check(1, 7, true);
  check(1, 7, false);
}
TEST_P(Norm, OddSizes) {
  check(13, 33, true);
  check(13, 33, false);
}
TEST_P(Norm, WholeLanes) {
  check(5, 64, true);
  check(5, 64, false);
}

TEST_P(Norm, ManyRowsSumOverSeveralPieces) {
  const int64_t T = 1000, D = 5;
  const Case c = make_case(T, D, true);
  forward(exec_, c, true);
  Parameter::Impl weight = parameter(c.weight, GradMode::kNone);
  Parameter::Impl bias = parameter(c.bias, GradMode::kOverwrite, 9);
  const Parameter weight_handle(&weight), bias_handle(&bias);
  ops::layer_norm_backward(exec_, c.x, weight_handle, &bias_handle, c.statistics, c.dy, {}, c.dx);
  const Vector dy = wide(c.dy);
  Vector sums(count(D), 0.0);
  for (size_t i = 0; i < dy.size(); ++i) sums[i % count(D)] += dy[i];
  near(bias.grad, sums);
  EXPECT_EQ(get(weight.grad), std::vector<float>(count(D), 0.0f));  // kNone: left alone
}

TEST_P(Norm, NoRowsGiveZeroGradients) {
  const Case c = make_case(0, 6, true);
  forward(exec_, c, true);
  Parameter::Impl weight = parameter(c.weight, GradMode::kOverwrite, 9);
  Parameter::Impl bias = parameter(c.bias, GradMode::kAccumulate, 2);
  const Parameter weight_handle(&weight), bias_handle(&bias);
  ops::layer_norm_backward(exec_, c.x, weight_handle, &bias_handle, c.statistics, c.dy, {}, c.dx);
  EXPECT_EQ(get(weight.grad), std::vector<float>(6, 0.0f));
  EXPECT_EQ(get(bias.grad), std::vector<float>(6, 2.0f));
}

TEST_P(Norm, DxMayLieOverTheResidual) {
  const Case c = make_case(9, 40, false);
  forward(exec_, c, false);
  Parameter::Impl weight = parameter(c.weight, GradMode::kNone);
  const Parameter handle(&weight);
  ops::rms_norm_backward(exec_, c.x, handle, c.statistics, c.dy, c.residual, c.dx);
  ops::rms_norm_backward(exec_, c.x, handle, c.statistics, c.dy, c.residual, c.residual);
  EXPECT_EQ(get(c.dx), get(c.residual));
}

TEST_P(Norm, SameBitsForAnyNumberOfThreads) {
  const Case c = make_case(300, 37, true);
  Parameter::Impl weight = parameter(c.weight, GradMode::kOverwrite);
  const Parameter handle(&weight);
  expect_same_bits(weight.grad, [&](Exec& exec) {
    forward(exec, c, true);
    ops::layer_norm_backward(exec, c.x, handle, nullptr, c.statistics, c.dy, {}, c.dx);
  });
}

TEST_P(Norm, WrongShapesAreNamed) {
  const Case c = make_case(3, 4, false);
  try {
    ops::rms_norm(exec_, kEps, c.x, random_f32({5}, 1), c.y, c.statistics);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "rms_norm: weight has shape [5], expected [4]");
  }
}

}  // namespace moiety
