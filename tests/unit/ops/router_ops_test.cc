// Row softmax, top-k, means and the balancing loss.
#include <cmath>

#include <moiety/ops.h>

#include "tests/unit/device_test.h"

namespace moiety {

class RouterOps : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, RouterOps, kF32Devices, case_name);

TEST_P(RouterOps, SoftmaxSurvivesLargeLogits) {
  const TensorView x = put({1e4f, -1e4f, 0, 2, 2, 2}, DType::kF32, {2, 3});
  const TensorView y = make(DType::kF32, {2, 3});
  ops::softmax_rows(exec_, x, y);
  EXPECT_LT(worst(get(y), {1, 0, 0, 1.f / 3, 1.f / 3, 1.f / 3}), 1e-6);
}

TEST_P(RouterOps, SoftmaxBackwardIsTheDirectionalDerivative) {
  const int64_t T = 5, E = 7;
  const auto z = normal(35, 1), dy = normal(35, 2), v = normal(35, 3);
  const TensorView dz = make(DType::kF32, {T, E}), y = make(DType::kF32, {T, E});
  const auto loss = [&](double h) {
    std::vector<float> moved = z;
    for (size_t i = 0; i < z.size(); ++i) moved[i] += static_cast<float>(h) * v[i];
    ops::softmax_rows(exec_, put(moved, DType::kF32, {T, E}), y);
    const auto out = get(y);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += double(out[i]) * double(dy[i]);
    return sum;
  };
  const double numeric = (loss(1e-2) - loss(-1e-2)) / 2e-2;
  loss(0);
  ops::softmax_rows_backward(exec_, y, put(dy, DType::kF32, {T, E}), dz);
  double analytic = 0;
  const auto grad = get(dz);
  for (size_t i = 0; i < grad.size(); ++i) analytic += double(grad[i]) * double(v[i]);
  EXPECT_NEAR(numeric, analytic, 1e-3);
}

TEST_P(RouterOps, TopKBreaksTiesByTheLowerExpertAndSkipsNan) {
  const TensorView s = put({1, 3, 3, 2, NAN, 0, -1, -2, 5, 5, 5, 5}, DType::kF32, {3, 4});
  const TensorView index = make(DType::kI32, {3, 2}), weight = make(DType::kF32, {3, 2});
  ops::topk_rows(exec_, s, put(std::vector<uint8_t>{1, 1, 0}, {3}), index, weight);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{1, 2, 1, 2, kUnused, kUnused}));
  EXPECT_EQ(get(weight), (std::vector<float>{3, 3, 0, -1, 0, 0}));
}

TEST_P(RouterOps, TopKOfMoreThanThereAreIsAnError) {
  const TensorView s = put({1, 2}, DType::kF32, {1, 2});
  try {
    ops::topk_rows(exec_, s, {}, make(DType::kI32, {1, 3}), make(DType::kF32, {1, 3}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "topk: 3 choices a token, but only 2 experts; lower k or raise num_experts");
  }
}

TEST_P(RouterOps, TopKBackwardWritesZerosForOthersAndDropped) {
  const TensorView index = ints({2, dropped(0), 1, kUnused}, {2, 2});
  const TensorView dw = put({10, 20, 30, 40}, DType::kF32, {2, 2});
  const TensorView ds = make(DType::kF32, {2, 3});
  ops::topk_rows_backward(exec_, index, dw, ds);
  EXPECT_EQ(get(ds), (std::vector<float>{0, 0, 10, 0, 30, 0}));
}

TEST_P(RouterOps, CountsFractionsAndMeans) {
  const TensorView index = ints({0, 1, dropped(0), 2, kUnused, kUnused}, {3, 2});
  const TensorView counts = make(DType::kF32, {3}), share = make(DType::kF32, {3});
  ops::expert_counts(exec_, index, counts);
  EXPECT_EQ(get(counts), (std::vector<float>{2, 1, 1}));
  ops::expert_fraction(exec_, index, share);
  EXPECT_EQ(get(share), (std::vector<float>{0.5f, 0.25f, 0.25f}));

  const TensorView x = put({1, 2, 3, 4, 50, 60}, DType::kF32, {3, 2});
  const TensorView mean = make(DType::kF32, {2});
  ops::column_mean(exec_, x, put(std::vector<uint8_t>{1, 1, 0}, {3}), mean);
  EXPECT_EQ(get(mean), (std::vector<float>{2, 3}));
  ops::column_mean(exec_, x, put(std::vector<uint8_t>{0, 0, 0}, {3}), mean);
  EXPECT_EQ(get(mean), (std::vector<float>{0, 0}));
}

TEST_P(RouterOps, LongColumnsAreSummedExactly) {
  const int64_t T = 1000;
  const auto x = normal(3000, 4);
  const TensorView mean = make(DType::kF32, {3});
  ops::column_mean(exec_, put(x, DType::kF32, {T, 3}), {}, mean);
  std::vector<double> sum(3);
  for (size_t i = 0; i < x.size(); ++i) sum[i % 3] += double(x[i]) / double(T);
  EXPECT_LT(worst(get(mean), {float(sum[0]), float(sum[1]), float(sum[2])}), 1e-7);
}

TEST_P(RouterOps, DotAndAddToRows) {
  const auto a = normal(777, 5), b = normal(777, 6);
  double expected = 0;
  for (size_t i = 0; i < a.size(); ++i) expected += double(a[i]) * double(b[i]);
  const TensorView out = make(DType::kF32, {1});
  ops::dot(exec_, put(a, DType::kF32, {777}), put(b, DType::kF32, {777}), 2.0, out);
  EXPECT_NEAR(get(out)[0], 2 * expected, 1e-5 * std::abs(expected) + 1e-5);

  const TensorView x = put({1, 1, 1, 1}, DType::kF32, {2, 2});
  ops::add_to_rows(exec_, put({1, 2}, DType::kF32, {2}), put({3}, DType::kF32, {1}), 0.5,
                   put(std::vector<uint8_t>{0, 1}, {2}), x);
  EXPECT_EQ(get(x), (std::vector<float>{1, 1, 2.5f, 4}));
}

TEST_P(RouterOps, BalanceLossIsOneWhenEvenAndIgnoresPadding) {
  const TensorView probs = put({.5f, .5f, .5f, .5f, .9f, .1f}, DType::kF32, {3, 2});
  const TensorView index = ints({0, 1, kUnused}, {3, 1});
  const TensorView loss = make(DType::kF32, {1});
  ops::balance_loss(exec_, probs, index, loss);
  EXPECT_NEAR(get(loss)[0], 1, 1e-6);
  const TensorView d = put({0, 0, 0, 0, 0, 0}, DType::kF32, {3, 2});
  ops::balance_loss_backward(exec_, index, put({2}, DType::kF32, {1}), d);
  EXPECT_EQ(get(d), (std::vector<float>{1, 1, 1, 1, 0, 0}));
}

TEST_P(RouterOps, NoTokensIsFine) {
  const TensorView x = make(DType::kF32, {0, 4}), index = make(DType::kI32, {0, 2});
  const TensorView counts = make(DType::kF32, {4}), loss = make(DType::kF32, {1});
  ops::softmax_rows(exec_, x, x);
  ops::topk_rows(exec_, x, {}, index, make(DType::kF32, {0, 2}));
  ops::expert_counts(exec_, index, counts);
  EXPECT_EQ(get(counts), std::vector<float>(4));
  ops::balance_loss(exec_, x, index, loss);
  EXPECT_EQ(get(loss)[0], 0);
}

}  // namespace moiety
