// Bias, residual, dropout.
#include "core/ops/elementwise.h"

#include "tests/unit/ops/op_test.h"

namespace moiety {

class Elementwise : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Devices, Elementwise, kFloatDevices, case_name);

TEST_P(Elementwise, BiasAndItsGradient) {
  for (const auto& [T, D] : {std::pair<int64_t, int64_t>{1, 7}, {300, 33}, {64, 130}}) {
    const TensorView x = random({T, D}, 1), bias = random_f32({D}, 2);
    Vector expected = wide(x), sums(count(D), 0.25);
    const Vector b = wide(bias);
    for (size_t i = 0; i < expected.size(); ++i) {
      sums[i % count(D)] += expected[i];
      expected[i] += b[i % count(D)];
    }
    Parameter::Impl p = parameter(bias, GradMode::kAccumulate, 0.25f);
    ops::bias_grad(exec_, x, Parameter(&p));
    near(p.grad, sums);
    ops::add_bias(exec_, bias, x);
    near(x, expected);
    p.mode = GradMode::kOverwrite;
    expect_same_bits(p.grad, [&](Exec& exec) { ops::bias_grad(exec, x, Parameter(&p)); });
  }
}

TEST_P(Elementwise, RateZeroIsAPlainSum) {
  const TensorView x = random({5, 9}, 1), residual = random({5, 9}, 2), out = make(dtype(), {5, 9});
  ops::dropout_add(exec_, "test", 0, x, residual, out);
  Vector expected = wide(x);
  const Vector r = wide(residual);
  for (size_t i = 0; i < r.size(); ++i) expected[i] += r[i];
  near(out, expected);
  ops::dropout_add(exec_, "test", 0, x, {}, out);
  EXPECT_EQ(get(out), get(x));
}

TEST_P(Elementwise, DropoutKeepsItsShareAndItsMean) {
  const int64_t T = 200, D = 255;
  const double rate = 0.3;
  const TensorView x = put(std::vector<float>(count(T * D), 1), dtype(), {T, D});
  const TensorView out = make(dtype(), {T, D});
  ops::dropout_add(exec_, "test", rate, x, {}, out);
  double dropped = 0;
  for (const float y : get(out)) {
    dropped += y == 0 ? 1 : 0;
    if (y != 0) {
      EXPECT_NEAR(y, 1 / 0.7, 0.01);
    }
  }
  EXPECT_NEAR(dropped / static_cast<double>(T * D), rate, 0.01);  // 5 deviations
}

TEST_P(Elementwise, BackwardDrawsTheSameMask) {
  const int64_t T = 31, D = 70;
  const TensorView x = put(std::vector<float>(count(T * D), 1), dtype(), {T, D});
  const TensorView zero = put(std::vector<float>(count(T * D), 0), dtype(), {T, D});
  const TensorView out = make(dtype(), {T, D}), dx = make(dtype(), {T, D});
  ops::dropout_add(exec_, "test", 0.5, x, zero, out);
  ops::dropout_backward(exec_, "test", 0.5, x, dx);
  EXPECT_EQ(get(out), get(dx));
  ops::dropout_backward(exec_, "test", 0.5, x, x);  // in place
  EXPECT_EQ(get(out), get(x));
}

TEST_P(Elementwise, NoiseChangesWithPurposeBatchAndRow) {
  const int64_t T = 16, D = 64;
  const TensorView x = put(std::vector<float>(count(T * D), 1), dtype(), {T, D});
  const TensorView a = make(dtype(), {T, D}), b = make(dtype(), {T, D});
  ops::dropout_add(exec_, "one", 0.5, x, {}, a);
  ops::dropout_add(exec_, "two", 0.5, x, {}, b);
  EXPECT_NE(get(a), get(b));
  const auto first = get(a);
  EXPECT_NE(std::vector<float>(first.begin(), first.begin() + D),
            std::vector<float>(first.begin() + D, first.begin() + 2 * D));
  StepState step;
  step.batch = 1;
  set_step(step);
  ops::dropout_add(exec_, "one", 0.5, x, {}, b);
  EXPECT_NE(first, get(b));
}

TEST_P(Elementwise, AMaskComesFromUniformOfRowAndColumn) {
  const int64_t T = 3, D = 6;
  const TensorView noise = put({.1f, .9f, .4f, .6f, .2f, .8f, .9f, .1f, .9f,  //
                                .1f, .9f, .1f, .5f, .49f, 1, 0, .7f, .3f},
                               DType::kF32, {T, D});
  impl_.bound.emplace_back(RngKey("test").purpose, noise);
  const TensorView x = put(std::vector<float>(count(T * D), 1), dtype(), {T, D});
  const TensorView out = make(dtype(), {T, D});
  ops::dropout_add(exec_, "test", 0.5, x, {}, out);
  EXPECT_EQ(get(out), (std::vector<float>{0, 2, 0, 2, 0, 2, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0}));
}

TEST_P(Elementwise, ARateOfOneIsRefused) {
  const TensorView x = random({2, 2}, 1);
  EXPECT_THROW(ops::dropout_add(exec_, "test", 1.0, x, {}, x), Error);
}

}  // namespace moiety
