// Routing ops at the sizes where their work is cut: whole warps of experts, blocks of choices.
#include <algorithm>
#include <cmath>

#include <moiety/ops.h>

#include "core/ops/routing.h"
#include "tests/unit/device_test.h"

namespace moiety {

class RoutingSizes : public DeviceTest {
 protected:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  /// Choices of n tokens, some unused or dropped.
  static std::vector<int32_t> choices(int64_t n, int32_t E) {
    std::mt19937 random(static_cast<uint32_t>(n + E));
    std::vector<int32_t> index(at(n));
    for (int32_t& e : index) {
      e = static_cast<int32_t>(random() % static_cast<uint32_t>(E));
      if (random() % 7 == 0) e = dropped(e);
      if (random() % 11 == 0) e = kUnused;
    }
    return index;
  }
  TensorView zeros(int64_t n) { return put(std::vector<float>(at(n)), DType::kF32, {n}); }
};
INSTANTIATE_TEST_SUITE_P(Devices, RoutingSizes, kF32Devices, case_name);

TEST_P(RoutingSizes, TopKAcrossLanes) {
  for (const int64_t E : {1, 31, 32, 33, 64, 100, 250, 512, 1000, 1030}) {
    const int64_t T = 9, K = std::min<int64_t>(E, 8);
    std::vector<float> scores = normal(at(T * E), 4);
    for (float& x : scores) x = std::round(2 * x) / 2;  // ties, and zeros of both signs
    for (int64_t e = 0; e < E; e += 3) scores[at(e)] = NAN;
    for (int64_t e = 0; e < E; ++e) scores[at(E + e)] = e % 2 == 0 ? NAN : -INFINITY;
    const std::vector<uint8_t> mask = {1, 1, 1, 0, 1, 1, 1, 1, 1};
    const TensorView index = make(DType::kI32, {T, K}), weight = make(DType::kF32, {T, K});
    ops::topk_rows(exec_, put(scores, DType::kF32, {T, E}), put(mask, {T}), index, weight);
    std::vector<int32_t> expected;
    for (int64_t t = 0; t < T; ++t) {
      std::vector<int32_t> order(at(E));
      for (int32_t e = 0; e < E; ++e) order[at(e)] = e;
      const float* s = &scores[at(t * E)];
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return s[a] > s[b] || (s[b] != s[b] && s[a] == s[a]);
      });
      for (int64_t k = 0; k < K; ++k) {
        expected.push_back(mask[at(t)] != 0 ? order[at(k)] : kUnused);
      }
    }
    EXPECT_EQ(get_i32(index), expected) << E << " experts";
    const auto seen = get(weight);
    for (size_t i = 0; i < seen.size(); ++i) {
      const int64_t t = static_cast<int64_t>(i) / K;
      const float s = expected[i] < 0 ? 0 : scores[at(t * E + expected[i])];
      EXPECT_TRUE(seen[i] == s || (seen[i] != seen[i] && s != s)) << E << ": " << i;
    }
  }
}

TEST_P(RoutingSizes, PlacesAcrossBlocks) {
  for (const int32_t E : {1, 5, 33, 700, 1024, 1100}) {
    for (const int64_t T : {0, 1, 511, 512, 513, 40000 / E + 2000}) {
      const int64_t K = 2;
      const auto codes = choices(T * K, E);
      const TensorView index = ints(codes, {T, K}), position = make(DType::kI32, {T, K});
      ops::assign_positions(exec_, ops::SlotOrder::kChoice, E, 9, index, position);
      std::vector<int32_t> next(at(E)), places(codes.size()), left = codes;
      for (int64_t k = 0; k < K; ++k) {
        for (int64_t t = 0; t < T; ++t) {
          const size_t i = at(t * K + k);
          places[i] = codes[i] < 0 ? -1 : next[at(codes[i])]++;
          if (places[i] >= 9) places[i] = -1, left[i] = dropped(codes[i]);
        }
      }
      EXPECT_EQ(get_i32(position), places) << T << " tokens, " << E << " experts";
      EXPECT_EQ(get_i32(index), left) << T << " tokens, " << E << " experts";
    }
  }
}

TEST_P(RoutingSizes, PermutationAcrossBlocks) {
  for (const int32_t E : {1, 33, 512, 1100}) {
    const int64_t T = 1500, K = 3, N = T * K;
    const auto codes = choices(N, E);
    const auto weights = normal(at(N), 2);
    RoutingPlan plan;
    plan.index = ints(codes, {T, K});
    plan.weight = put(weights, DType::kF32, {T, K});
    const ops::Permutation p{make(DType::kI32, {E}), make(DType::kI32, {E}), make(DType::kI32, {N}),
                             make(DType::kF32, {N}), make(DType::kI32, {T, K})};
    ops::permute(exec_, plan, PlanLayout::kTokenMajor, E, p);
    std::vector<int32_t> start, count, row(at(N), -1), slot(at(N), -1);
    std::vector<float> weight(at(N));
    int32_t n = 0;
    for (int32_t e = 0; e < E; ++e) {
      start.push_back(n);
      for (int64_t i = 0; i < N; ++i) {
        if (codes[at(i)] != e) continue;
        row[at(n)] = static_cast<int32_t>(i / K), weight[at(n)] = weights[at(i)];
        slot[at(i)] = n++;
      }
      count.push_back(n - start.back());
    }
    EXPECT_EQ(get_i32(p.start), start) << E;
    EXPECT_EQ(get_i32(p.count), count) << E;
    EXPECT_EQ(get_i32(p.row), row) << E;
    EXPECT_EQ(get_i32(p.slot), slot) << E;
    EXPECT_EQ(get(p.weight), weight) << E;
  }
}

TEST_P(RoutingSizes, StatisticsOfManyTokensAndExperts) {
  for (const auto& [T, E] : {std::pair<int64_t, int32_t>{1, 1},
                             {130, 8},
                             {700, 40},
                             {65, 512},
                             {100, 520},
                             {66000, 3}}) {
    const int64_t K = 2;
    const auto codes = choices(T * K, E);
    const auto logits = normal(at(T * E), 3);
    std::vector<uint8_t> mask(at(T));
    for (int64_t t = 0; t < T; ++t) mask[at(t)] = t % 5 != 3;
    RoutingPlan plan;
    plan.index = ints(codes, {T, K});
    const ops::RoutingSums sums{zeros(E), zeros(E), zeros(E), zeros(1), zeros(1)};
    ops::routing_statistics(exec_, plan, PlanLayout::kTokenMajor, put(logits, DType::kF32, {T, E}),
                            put(mask, {T}), sums);
    std::vector<double> chosen(at(E)), lost(at(E)), probability(at(E));
    double entropy = 0, tokens = 0, square = 0;
    for (const int32_t code : codes) {
      if (code != kUnused) ++chosen[at(choice(code))];
      if (code != kUnused && code < 0) ++lost[at(choice(code))];
    }
    for (int64_t t = 0; t < T; ++t) {
      if (mask[at(t)] == 0) continue;
      double total = 0;
      for (int64_t e = 0; e < E; ++e) total += std::exp(double{logits[at(t * E + e)]});
      for (int64_t e = 0; e < E; ++e) {
        const double p = std::exp(double{logits[at(t * E + e)]}) / total;
        probability[at(e)] += p;
        entropy -= p * std::log(p);
      }
      square += std::log(total) * std::log(total);
      ++tokens;
    }
    const auto narrow = [](const std::vector<double>& x) {
      return std::vector<float>(x.begin(), x.end());
    };
    EXPECT_EQ(get(sums.chosen), narrow(chosen)) << E;
    EXPECT_EQ(get(sums.dropped), narrow(lost)) << E;
    EXPECT_LE(worst(get(sums.probability), narrow(probability)), 1e-5) << E;
    EXPECT_NEAR(get(sums.entropy)[0], entropy, 1e-5 * (1 + entropy)) << E;
    EXPECT_EQ(get(sums.tokens)[0], static_cast<float>(tokens));
    const TensorView counts = make(DType::kF32, {E}), loss = zeros(1);
    ops::expert_counts(exec_, plan.index, counts);
    EXPECT_EQ(get(counts), narrow(chosen)) << E;
    ops::z_loss(exec_, put(logits, DType::kF32, {T, E}), put(mask, {T}), loss);
    EXPECT_NEAR(get(loss)[0], square / tokens, 1e-4 * (1 + square / tokens)) << E;
  }
}

}  // namespace moiety
