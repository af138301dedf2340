// The best rows of every column, against a sort.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <moiety/ops.h>

#include "core/ops/router.h"
#include "tests/unit/device_test.h"

namespace moiety {

class TopKColumns : public DeviceTest {
 protected:
  /// [E, C]: the rows of each column, best first, then sorted; kUnused past the candidates.
  static std::vector<int32_t> by_sorting(const std::vector<float>& x,
                                         const std::vector<uint8_t>& mask, int64_t T, int64_t E,
                                         int64_t C) {
    std::vector<int32_t> out;
    for (int64_t e = 0; e < E; ++e) {
      std::vector<int32_t> rows;
      for (int32_t t = 0; t < T; ++t) {
        if (mask.empty() || mask[static_cast<size_t>(t)] != 0) rows.push_back(t);
      }
      std::stable_sort(rows.begin(), rows.end(), [&](int32_t a, int32_t b) {
        return x[static_cast<size_t>(a * E + e)] > x[static_cast<size_t>(b * E + e)];
      });
      rows.resize(std::min(rows.size(), static_cast<size_t>(C)));
      std::sort(rows.begin(), rows.end());
      rows.resize(static_cast<size_t>(C), kUnused);
      out.insert(out.end(), rows.begin(), rows.end());
    }
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, TopKColumns, kF32Devices, case_name);

TEST_P(TopKColumns, MatchesASort) {
  for (const int64_t T : {1, 7, 255, 256, 257, 1500}) {
    for (const bool ties : {false, true}) {
      const int64_t E = 5, C = std::max<int64_t>(1, T / 3);
      std::vector<float> x = normal(static_cast<size_t>(T * E), 3);
      if (ties) {
        for (float& v : x) v = std::round(v);
        x[0] = -0.f;
      }
      std::vector<uint8_t> mask(static_cast<size_t>(T), 1);
      for (size_t t = 0; t < mask.size(); ++t) mask[t] = t % 7 != 3;
      for (const bool masked : {false, true}) {
        const TensorView index = make(DType::kI32, {E, C}), weight = make(DType::kF32, {E, C});
        ops::topk_columns(exec_, put(x, DType::kF32, {T, E}),
                          masked ? put(mask, {T}) : TensorView{}, index, weight);
        const auto want = by_sorting(x, masked ? mask : std::vector<uint8_t>{}, T, E, C);
        ASSERT_EQ(get_i32(index), want) << T << (ties ? " with ties" : "");
        const std::vector<float> w = get(weight);
        for (size_t i = 0; i < want.size(); ++i) {
          const auto e = static_cast<int64_t>(i) / C;
          ASSERT_EQ(w[i], want[i] < 0 ? 0 : x[static_cast<size_t>(want[i] * E + e)]);
        }
      }
    }
  }
}

TEST_P(TopKColumns, FewCandidatesLeaveSlotsUnused) {
  const std::vector<uint8_t> mask = {0, 1, 0, 1};
  const TensorView index = make(DType::kI32, {1, 3}), weight = make(DType::kF32, {1, 3});
  ops::topk_columns(exec_, put({4, 1, 3, NAN}, DType::kF32, {4, 1}), put(mask, {4}), index, weight);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{1, 3, kUnused}));
  ops::topk_columns(exec_, put({NAN, 1, NAN, -5}, DType::kF32, {4, 1}), {}, index, weight);
  EXPECT_EQ(get_i32(index), (std::vector<int32_t>{0, 1, 3})) << "numbers before NaN";
}

TEST_P(TopKColumns, BackwardScatters) {
  const TensorView dscores = make(DType::kF32, {3, 2});
  ops::topk_columns_backward(exec_, ints({0, 2, 1, kUnused}, {2, 2}),
                             put({1, 2, 3, 4}, DType::kF32, {2, 2}), dscores);
  EXPECT_EQ(get(dscores), (std::vector<float>{1, 0, 0, 3, 2, 0}));
}

class RouterOps : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, RouterOps, kF32Devices, case_name);

TEST_P(RouterOps, ProductsAreSummedInF64) {
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

TEST_P(RouterOps, BalancedLogitsBalanceEveryK) {
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

TEST_P(RouterOps, ZipfLogitsFollowTheLaw) {
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
