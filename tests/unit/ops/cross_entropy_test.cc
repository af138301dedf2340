// Softmax cross-entropy: loss, gradient in place, rows that do not count.
#include <moiety/ops.h>

#include "tests/unit/ops/op_test.h"

namespace moiety {

class CrossEntropy : public OpTest {
 protected:
  void check(int64_t R, int64_t V, float deviation) {
    StepState step;
    step.loss_scale = 4;
    set_step(step);
    std::vector<int32_t> target(count(R));
    std::vector<float> mask(count(R), 1);
    for (size_t r = 0; r < target.size(); ++r) {
      target[r] = r % 5 == 3 ? -1 : static_cast<int32_t>(r * 37 % count(V));
      mask[r] = r % 4 == 2 ? 0.0f : 0.5f;
    }
    ObjectiveInputs in;
    const TensorView logits = random({R, V}, 1, deviation), row_loss = make(DType::kF32, {R});
    in.logits = logits;
    in.targets = put(target, {R});
    in.loss_mask = put(mask, DType::kF32, {R});
    in.denominator = put({2}, DType::kF32, {1});
    const Vector x = wide(logits);
    const auto f = [&](const Vector& at) { return reference::cross_entropy(at, target); };
    ops::cross_entropy(exec_, in, row_loss, {});
    const Vector loss = f(x);
    EXPECT_LE(worst(get(row_loss), reference::narrow(loss)), 1e-5);

    Vector weight(count(R)), expected(x.size(), 0.0);
    for (size_t r = 0; r < count(R); ++r) weight[r] = static_cast<double>(mask[r]) * 4 / 2;
    for (size_t i = 0; i < x.size(); ++i) {  // (softmax - onehot) * weight
      const size_t r = i / count(V), c = i % count(V);
      if (target[r] < 0) continue;
      const double log_p = x[i] - x[r * count(V) + count(target[r])] - loss[r];
      expected[i] = (std::exp(log_p) - (c == count(target[r]) ? 1 : 0)) * weight[r];
    }
    const TensorView grad = make(dtype(), {R, V});
    ops::cross_entropy(exec_, in, row_loss, grad);
    near(grad, expected);
    // The formula above is the slope of the loss.
    const Vector direction = reference::widen(normal(x.size(), 9));
    const double slope = reference::slope(f, x, direction, weight);
    EXPECT_NEAR(slope, reference::dot(expected, direction), 1e-6 * std::max(1.0, std::abs(slope)));

    ops::cross_entropy(exec_, in, row_loss, logits);  // in place
    EXPECT_EQ(get(logits), get(grad));
    EXPECT_LE(worst(get(row_loss), reference::narrow(loss)), 1e-5);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, CrossEntropy, kFloatDevices, case_name);

TEST_P(CrossEntropy, OneRow) { check(1, 7, 1); }
TEST_P(CrossEntropy, Bytes) { check(23, 256, 2); }
TEST_P(CrossEntropy, OddVocabulary) { check(9, 1000, 3); }
TEST_P(CrossEntropy, LargeLogits) { check(6, 33, 300); }

TEST_P(CrossEntropy, LongRows) {
  check(5, 4104, 2);
  check(5, 5001, 2);
}
TEST_P(CrossEntropy, RowsThatNoSharedMemoryHolds) { check(3, 120000, 1); }

TEST_P(CrossEntropy, ImpossibleTokens) {
  const int64_t V = 5000;
  std::vector<float> values = normal(count(2 * V), 1);
  for (int64_t c = 0; c < V - 40; ++c) values[count(V + c)] = -INFINITY;
  const TensorView logits = put(values, dtype(), {2, V}), row_loss = make(DType::kF32, {2});
  const Vector x = wide(logits);
  ObjectiveInputs in;
  in.logits = logits;
  in.targets = put(std::vector<int32_t>{7, 4990}, {2});
  in.denominator = put({1}, DType::kF32, {1});
  ops::cross_entropy(exec_, in, row_loss, logits);
  double sum = 0;
  for (int64_t c = V - 40; c < V; ++c) sum += std::exp(x[count(V + c)]);
  EXPECT_NEAR(get(row_loss)[1], std::log(sum) - x[count(V + 4990)], 1e-5);
  const auto grad = get(logits);
  EXPECT_EQ(grad[count(V)], 0);
  EXPECT_NEAR(grad[count(2 * V - 1)], std::exp(x[count(2 * V - 1)]) / sum, tolerance());
}

TEST_P(CrossEntropy, NothingCounts) {
  ObjectiveInputs in;
  const TensorView logits = random({2, 5}, 1), row_loss = make(DType::kF32, {2});
  in.logits = logits;
  in.targets = put(std::vector<int32_t>{-1, 3}, {2});
  in.loss_mask = put({1, 0}, DType::kF32, {2});
  in.denominator = put({0}, DType::kF32, {1});
  ops::cross_entropy(exec_, in, row_loss, logits);
  EXPECT_EQ(get(logits), std::vector<float>(10, 0.0f));
  EXPECT_EQ(get(row_loss)[0], 0.0f);
}

TEST_P(CrossEntropy, ATargetOutsideTheVocabularyIsNan) {
  ObjectiveInputs in;
  const TensorView logits = random({1, 5}, 1), row_loss = make(DType::kF32, {1});
  in.logits = logits;
  in.targets = put(std::vector<int32_t>{5}, {1});
  in.denominator = put({1}, DType::kF32, {1});
  ops::cross_entropy(exec_, in, row_loss, {});
  EXPECT_TRUE(std::isnan(get(row_loss)[0]));
}

TEST_P(CrossEntropy, SameBitsForAnyNumberOfThreads) {
  ObjectiveInputs in;
  const TensorView logits = random({100, 77}, 1), row_loss = make(DType::kF32, {100});
  const TensorView grad = make(dtype(), {100, 77});
  in.logits = logits;
  in.targets = put(std::vector<int32_t>(100, 5), {100});
  in.denominator = put({100}, DType::kF32, {1});
  expect_same_bits(grad, [&](Exec& exec) { ops::cross_entropy(exec, in, row_loss, grad); });
}

}  // namespace moiety
