// What a step's sums say about routing, and the router z-loss.
#include <cmath>

#include "core/ops/routing.h"
#include "tests/unit/device_test.h"

namespace moiety {

class RoutingStatistics : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, RoutingStatistics, kF32Devices, case_name);

TEST_P(RoutingStatistics, CountsAndMeansAddUp) {
  RoutingPlan p;
  p.index = ints({0, dropped(1), 0, 1, kUnused, kUnused}, {3, 2});
  const TensorView logits = put({0, 0, 0, 0, 5, 5}, DType::kF32, {3, 2});
  const TensorView mask = put(std::vector<uint8_t>{1, 1, 0}, {3});
  const auto zero = [&](int64_t n) {
    return put(std::vector<float>(static_cast<size_t>(n)), DType::kF32, {n});
  };
  const ops::RoutingSums sums{zero(2), zero(2), zero(2), zero(1), zero(1)};
  for (int call = 0; call < 2; ++call) {
    ops::routing_statistics(exec_, p, PlanLayout::kTokenMajor, logits, mask, sums);
  }
  EXPECT_EQ(get(sums.chosen), (std::vector<float>{4, 4}));
  EXPECT_EQ(get(sums.dropped), (std::vector<float>{0, 2}));
  EXPECT_EQ(get(sums.probability), (std::vector<float>{2, 2}));
  EXPECT_NEAR(get(sums.entropy)[0], 4 * std::log(2.0), 1e-5);
  EXPECT_EQ(get(sums.tokens)[0], 4);
}

TEST_P(RoutingStatistics, ZLossAndItsGradient) {
  const auto z = normal(12, 1), v = normal(12, 2);
  const TensorView mask = put(std::vector<uint8_t>{1, 0, 1, 1}, {4});
  const auto loss = [&](double h) {
    std::vector<float> moved = z;
    for (size_t i = 0; i < z.size(); ++i) moved[i] += static_cast<float>(h) * v[i];
    const TensorView out = put({0}, DType::kF32, {1});
    ops::z_loss(exec_, put(moved, DType::kF32, {4, 3}), mask, out);
    return static_cast<double>(get(out)[0]);
  };
  double expected = 0;
  for (const size_t t : {0u, 2u, 3u}) {
    double sum = 0;
    for (size_t e = 0; e < 3; ++e) sum += std::exp(double(z[3 * t + e]));
    expected += std::log(sum) * std::log(sum) / 3;
  }
  EXPECT_NEAR(loss(0), expected, 1e-5);
  StepState step;
  step.loss_scale = 4;
  set_step(step);
  const TensorView d = put(std::vector<float>(12), DType::kF32, {4, 3});
  ops::z_loss_backward(exec_, put(z, DType::kF32, {4, 3}), mask, 0.5, d);
  double analytic = 0;
  const auto grad = get(d);
  for (size_t i = 0; i < 12; ++i) analytic += double(grad[i]) * double(v[i]);
  EXPECT_NEAR(analytic, 2 * (loss(1e-2) - loss(-1e-2)) / 2e-2, 5e-3);
  EXPECT_EQ(grad[3], 0);
}

}  // namespace moiety
