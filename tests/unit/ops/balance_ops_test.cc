// The ops of the balancing losses against sums by hand in float64.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/ops/balance_pool.h"
#include "core/ops/sequence_balance.h"
#include "core/ops/variation_loss.h"
#include "tests/unit/device_test.h"

namespace moiety {

class BalanceOps : public DeviceTest {
 protected:
  TensorView zeros(int64_t n) {
    return put(std::vector<float>(static_cast<size_t>(n)), DType::kF32, {n});
  }
  float number(const TensorView& t) { return get(t)[0]; }
  /// <gradient, v> against a central difference of loss(x + h v).
  void slope(const std::vector<float>& x, const std::vector<float>& gradient,
             const std::function<double(const std::vector<float>&)>& loss, double tolerance) {
    const std::vector<float> v = normal(x.size(), 77);
    double expected = 0;
    for (size_t i = 0; i < x.size(); ++i) expected += double(gradient[i]) * double(v[i]);
    const auto moved = [&](double h) {
      std::vector<float> y = x;
      for (size_t i = 0; i < x.size(); ++i) y[i] += static_cast<float>(h) * v[i];
      return loss(y);
    };
    EXPECT_NEAR((moved(3e-3) - moved(-3e-3)) / 6e-3, expected, tolerance);
    EXPECT_GT(std::abs(expected), 10 * tolerance) << "a direction without slope proves nothing";
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, BalanceOps, kF32Devices, case_name);

TEST_P(BalanceOps, SharesOfScores) {
  const TensorView scores = put({1, 3, 0, 0, 0.2f, 0.6f}, DType::kF32, {3, 2});
  const TensorView shares = make(DType::kF32, {3, 2});
  ops::share_rows(exec_, scores, shares);
  const std::vector<float> expected = {0.25f, 0.75f, 0, 0, 0.25f, 0.75f};
  EXPECT_LT(worst(get(shares), expected), 1e-6);

  std::vector<float> x = normal(15, 1);
  for (float& s : x) s = std::abs(s) + 0.1f;
  const std::vector<float> up = normal(15, 2);
  const TensorView d = put(up, DType::kF32, {5, 3});
  ops::share_rows_backward(exec_, put(x, DType::kF32, {5, 3}), d, d);
  slope(
      x, get(d),
      [&](const std::vector<float>& y) {
        const TensorView out = make(DType::kF32, {5, 3});
        ops::share_rows(exec_, put(y, DType::kF32, {5, 3}), out);
        double sum = 0;
        const std::vector<float> o = get(out);
        for (size_t i = 0; i < o.size(); ++i) sum += double(o[i]) * double(up[i]);
        return sum;
      },
      2e-3);
}

/// DeepSeek-V3, eq. 17-20, in float64.
TEST_P(BalanceOps, SequenceLossByHand) {
  constexpr size_t B = 3, S = 150, E = 4, K = 2;
  std::vector<int32_t> index(B * S * K);
  std::vector<uint8_t> mask(B * S);
  for (size_t t = 0; t < B * S; ++t) {
    mask[t] = t / S == 1 ? 0 : t % S < 140;  // the second sequence is padding
    for (size_t k = 0; k < K; ++k) {
      const auto e = static_cast<int32_t>((t * (k + 1) + t / 7) % E);
      index[t * K + k] = mask[t] == 0 ? kUnused : t % 5 == 0 && k == 1 ? dropped(e) : e;
    }
  }
  std::vector<float> p = normal(B * S * E, 3);
  for (float& x : p) x = std::abs(x);
  double expected = 0;
  for (const size_t b : {size_t{0}, size_t{2}}) {
    for (size_t e = 0; e < E; ++e) {
      double f = 0, mean = 0;
      for (size_t s = 0; s < 140; ++s) {
        const size_t t = b * S + s;
        for (size_t k = 0; k < K; ++k) {
          f += choice(index[t * K + k]) == static_cast<int32_t>(e) ? 1.0 : 0.0;
        }
        mean += double(p[t * E + e]) / 140;
      }
      expected += double(E) / (double(K) * 140) * f * mean / 2;  // two sequences
    }
  }
  RoutingPlan plan;
  plan.index = ints(index, {B * S, K});
  const TensorView used = put(mask, {B * S});
  const ops::SequenceSums sums{make(DType::kF32, {B, E}), make(DType::kF32, {B, E}),
                               make(DType::kF32, {B})};
  const TensorView tokens = zeros(1), sequences = zeros(1);
  ops::count_sequences(exec_, used, B, S, tokens, sequences);
  EXPECT_EQ(number(tokens), 280);
  EXPECT_EQ(number(sequences), 2);
  ops::count_sequences(exec_, {}, 2, 5, tokens, sequences);
  EXPECT_EQ(number(tokens), 290);
  EXPECT_EQ(number(sequences), 4);
  const TensorView two = put({2}, DType::kF32, {1});
  const auto loss = [&](const std::vector<float>& shares) {
    const TensorView out = zeros(1);
    ops::sequence_sums(exec_, plan, PlanLayout::kTokenMajor, put(shares, DType::kF32, {B * S, E}),
                       used, sums);
    ops::sequence_balance_loss(exec_, sums, two, out);
    return double(number(out));
  };
  EXPECT_NEAR(loss(p), expected, 1e-5);
  StepState step;
  step.loss_scale = 8;
  set_step(step);
  const TensorView d = put(std::vector<float>(B * S * E, 1.f), DType::kF32, {B * S, E});
  ops::sequence_balance_grad(exec_, sums, two, 0.5, used, d);
  std::vector<float> gradient = get(d);
  EXPECT_EQ(gradient[S * E], 1.f);  // a padded token, and +=
  for (float& g : gradient) g = (g - 1) / 4;
  slope(p, gradient, loss, 2e-4);
}

TEST_P(BalanceOps, SequencesOfExpertMajorPlans) {
  RoutingPlan plan;  // two sequences of three tokens
  plan.index = ints({0, 1, 4, 5, 3, kUnused}, {2, 3});
  const TensorView shares = put(std::vector<float>(12, 0.5f), DType::kF32, {6, 2});
  const ops::SequenceSums sums{make(DType::kF32, {2, 2}), make(DType::kF32, {2, 2}),
                               make(DType::kF32, {2})};
  ops::sequence_sums(exec_, plan, PlanLayout::kExpertMajor, shares, {}, sums);
  EXPECT_EQ(get(sums.chosen), (std::vector<float>{2, 0, 1, 2}));
  EXPECT_EQ(get(sums.shares), (std::vector<float>(4, 1.5f)));
  EXPECT_EQ(get(sums.tokens), (std::vector<float>{3, 3}));
}

TEST_P(BalanceOps, SquaredVariation) {
  const std::vector<float> x = {1, 2, 3, 6};  // mean 3, variance 3.5
  const auto loss = [&](const std::vector<float>& y) {
    const TensorView out = put({1}, DType::kF32, {1});
    ops::squared_variation(exec_, put(y, DType::kF32, {4}), out);
    return double(number(out)) - 1;
  };
  EXPECT_NEAR(loss(x), 3.5 / 9, 1e-6);
  EXPECT_NEAR(loss({2, 2, 2, 2}), 0, 1e-6);
  EXPECT_EQ(loss({0, 0, 0, 0}), 0);
  const TensorView d = zeros(4);
  ops::squared_variation_grad(exec_, put(x, DType::kF32, {4}), 1, d);
  slope(x, get(d), loss, 1e-3);
}

TEST_P(BalanceOps, ImportanceCountsKeptWeights) {
  RoutingPlan plan;
  plan.index = ints({0, 1, 1, dropped(0), kUnused, kUnused}, {3, 2});
  plan.weight = put({0.5f, 0.25f, 1, 9, 9, 9}, DType::kF32, {3, 2});
  const TensorView out = zeros(2), d = put(std::vector<float>(6, 1.f), DType::kF32, {3, 2});
  ops::importance(exec_, plan, PlanLayout::kTokenMajor, 2, out);
  EXPECT_EQ(get(out), (std::vector<float>{0.5f, 1.25f}));
  ops::importance_backward(exec_, plan, PlanLayout::kTokenMajor, put({2, 3}, DType::kF32, {2}), d);
  EXPECT_EQ(get(d), (std::vector<float>{3, 4, 4, 1, 1, 1}));
  plan.index = ints({0, 1, kUnused, 2, kUnused, 0}, {2, 3});
  plan.weight = put({0.5f, 0.25f, 9, 1, 9, 2}, DType::kF32, {2, 3});
  ops::importance(exec_, plan, PlanLayout::kExpertMajor, 2, out);
  EXPECT_EQ(get(out), (std::vector<float>{0.75f, 3}));
  const TensorView of_slots = put(std::vector<float>(6), DType::kF32, {2, 3});
  ops::importance_backward(exec_, plan, PlanLayout::kExpertMajor, put({2, 3}, DType::kF32, {2}),
                           of_slots);
  EXPECT_EQ(get(of_slots), (std::vector<float>{2, 2, 0, 3, 0, 3}));
}

TEST_P(BalanceOps, SmoothLoadByHand) {
  constexpr int64_t T = 140, E = 5, K = 2;
  constexpr double kSigma = 0.4;
  std::vector<float> logits = normal(T * E, 5);
  logits[0] = logits[1] = logits[2] = 0.7f;  // a tie over the threshold
  std::vector<uint8_t> mask(T, 1);
  mask[3] = 0;
  const TensorView used = put(mask, {T});
  std::vector<double> expected(E);
  for (size_t t = 0; t < T; ++t) {
    for (size_t e = 0; e < E && mask[t] != 0; ++e) {
      std::vector<double> others;
      for (size_t j = 0; j < E; ++j) {
        if (j != e) others.push_back(double(logits[t * E + j]));
      }
      std::sort(others.rbegin(), others.rend());
      const double z = (double(logits[t * E + e]) - others[K - 1]) / kSigma;
      expected[e] += 0.5 * std::erfc(-z / std::sqrt(2.0));
    }
  }
  const TensorView load = zeros(E);
  ops::smooth_load(exec_, put(logits, DType::kF32, {T, E}), used, K, kSigma, load);
  const std::vector<float> got = get(load);
  for (size_t e = 0; e < E; ++e) EXPECT_NEAR(got[e], expected[e], 1e-4) << e;

  const std::vector<float> up = normal(E, 6);
  const TensorView d = put(std::vector<float>(T * E), DType::kF32, {T, E});
  for (size_t i = 0; i < logits.size(); ++i) {  // far from ties, which have no derivative
    logits[i] = 0.3f * static_cast<float>((i % E * 3 + i / E) % E) + 0.03f * logits[i];
  }
  ops::smooth_load_backward(exec_, put(logits, DType::kF32, {T, E}), used, K, kSigma,
                            put(up, DType::kF32, {E}), d);
  EXPECT_EQ(get(d)[3 * E], 0.f);
  slope(
      logits, get(d),
      [&](const std::vector<float>& y) {
        ops::smooth_load(exec_, put(y, DType::kF32, {T, E}), used, K, kSigma, load);
        double sum = 0;
        const std::vector<float> l = get(load);
        for (size_t e = 0; e < E; ++e) sum += double(l[e]) * double(up[e]);
        return sum;
      },
      3e-2);

  ops::smooth_load(exec_, put(logits, DType::kF32, {T, E}), used, E, kSigma, load);
  EXPECT_EQ(get(load), (std::vector<float>(E, T - 1)));  // every expert is chosen
  EXPECT_THROW(ops::smooth_load(exec_, put(logits, DType::kF32, {T, E}), used, 6, kSigma, load),
               Error);
}

/// The whole batch's pool in two parts: losses and gradients are those of one.
TEST_P(BalanceOps, APoolInPartsIsThePool) {
  const std::vector<float> p = normal(24, 8);
  const TensorView chosen = put({5, 3, 4}, DType::kF32, {3}), tokens = put({8}, DType::kF32, {1});
  std::vector<float> sums(3);
  for (size_t i = 0; i < 24; ++i) sums[i % 3] += p[i];
  const TensorView whole = zeros(1), parts = zeros(1);
  ops::pooled_balance_loss(exec_, {chosen, put(sums, DType::kF32, {3}), tokens}, whole);
  for (size_t half = 0; half < 2; ++half) {
    std::vector<float> of_half(3);
    for (size_t i = 0; i < 12; ++i) of_half[i % 3] += p[12 * half + i];
    ops::pooled_balance_loss(exec_, {chosen, put(of_half, DType::kF32, {3}), tokens}, parts);
  }
  EXPECT_NEAR(number(parts), number(whole), 1e-6);
}

}  // namespace moiety
