// The router's products in f64, and the logits that force a routing.
#include <cmath>

#include <moiety/ops.h>

#include "core/ops/router.h"
#include "tests/unit/device_test.h"

namespace moiety {

class RouterOptionOps : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, RouterOptionOps, kF32Devices, case_name);

TEST_P(RouterOptionOps, ProductsAreSummedInF64) {
  const int64_t T = 5, D = 301, E = 3;
  std::vector<float> x = normal(static_cast<size_t>(T * D), 1), w = normal(D * E, 2),
                     g = normal(T * E, 3);
  for (int64_t t = 0; t < T; ++t)
    x[static_cast<size_t>(t * D)] = 1e8f;  // f32 sums would lose it all
  for (int64_t t = 0; t < T; ++t) x[static_cast<size_t>(t * D + 300)] = -1e8f;
  for (int64_t e = 0; e < E; ++e)
    w[static_cast<size_t>(e)] = w[static_cast<size_t>(300 * E + e)] = 1;
  const TensorView xd = put(x, DType::kF32, {T, D}), wd = put(w, DType::kF32, {D, E}),
                   gd = put(g, DType::kF32, {T, E});
  const TensorView logits = make(DType::kF32, {T, E}), dx = make(DType::kF32, {T, D}),
                   dw = make(DType::kF32, {D, E});
  ops::router_product(exec_, xd, wd, logits);
  ops::router_input_grad(exec_, gd, wd, dx);
  ops::router_weight_grad(exec_, xd, gd, false, dw);
  ops::router_weight_grad(exec_, xd, gd, true, dw);
  const auto X = [&](int64_t t, int64_t d) { return double{x[static_cast<size_t>(t * D + d)]}; };
  const auto W = [&](int64_t d, int64_t e) { return double{w[static_cast<size_t>(d * E + e)]}; };
  const auto G = [&](int64_t t, int64_t e) { return double{g[static_cast<size_t>(t * E + e)]}; };
  const std::vector<float> l = get(logits), a = get(dx), b = get(dw);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t e = 0; e < E; ++e) {
      double sum = 0;
      for (int64_t d = 0; d < D; ++d) sum += X(t, d) * W(d, e);
      EXPECT_EQ(l[static_cast<size_t>(t * E + e)], static_cast<float>(sum));
    }
    for (int64_t d = 0; d < D; ++d) {
      double sum = 0;
      for (int64_t e = 0; e < E; ++e) sum += G(t, e) * W(d, e);
      EXPECT_EQ(a[static_cast<size_t>(t * D + d)], static_cast<float>(sum));
    }
  }
  for (int64_t d = 0; d < D; ++d) {
    for (int64_t e = 0; e < E; ++e) {
      double sum = 0;
      for (int64_t t = 0; t < T; ++t) sum += X(t, d) * G(t, e);
      EXPECT_NEAR(b[static_cast<size_t>(d * E + e)], 2 * sum, 1e-6 * (1 + std::abs(sum)));
    }
  }
}

TEST_P(RouterOptionOps, BalancedLogitsBalanceEveryK) {
  const int64_t T = 40, E = 8;
  const TensorView logits = make(DType::kF32, {T, E});
  ops::force_balanced(exec_, logits);
  for (int64_t k = 1; k <= E; ++k) {
    const TensorView index = make(DType::kI32, {T, k}), weight = make(DType::kF32, {T, k});
    const TensorView counts = make(DType::kF32, {E});
    ops::topk_rows(exec_, logits, {}, index, weight);
    ops::expert_counts(exec_, index, counts);
    EXPECT_EQ(get(counts), std::vector<float>(E, static_cast<float>(T * k / E))) << k;
  }
}

TEST_P(RouterOptionOps, ZipfLogitsFollowTheLaw) {
  const int64_t T = 20000, E = 4;
  const TensorView logits = make(DType::kF32, {T, E}), counts = make(DType::kF32, {E});
  const TensorView index = make(DType::kI32, {T, 1}), weight = make(DType::kF32, {T, 1});
  ops::force_zipf(exec_, 2, logits);
  ops::topk_rows(exec_, logits, {}, index, weight);
  ops::expert_counts(exec_, index, counts);
  const double sum = 1 + 1 / 4.0 + 1 / 9.0 + 1 / 16.0;
  const std::vector<float> got = get(counts);
  for (size_t e = 0; e < 4; ++e) {
    EXPECT_NEAR(got[e] / T, 1 / (static_cast<double>((e + 1) * (e + 1)) * sum), 0.015) << e;
  }
}

}  // namespace moiety
