// Who is chosen, and with what weight.
#include <cmath>
#include <set>

#include "tests/unit/gating/gate_fixture.h"

namespace moiety {
namespace {

using Experts = std::set<int32_t>;

Experts experts_of(const moiety::testing::GateCall& call, int64_t t) {
  const auto row = call.index.begin() + t * call.shape.slots;
  Experts out;
  for (auto it = row; it != row + call.shape.slots; ++it) out.insert(choice(*it));
  return out;
}

TEST_F(GateTest, ADroppedChoiceKeepsItsShare) {
  make("softmax_topk", {{"k", int64_t{2}},
                        {"drop_tokens", true},
                        {"capacity_factor", 0.5},
                        {"min_capacity", int64_t{0}}});
  const auto in = inputs(0.5f);
  const auto call = run(in);
  int64_t halves = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto p = [&](int64_t k) {
      const int32_t e = choice(call->index[static_cast<size_t>(2 * t + k)]);
      return std::exp(double{in.logits[static_cast<size_t>(t * kExperts + e)]});
    };
    for (int64_t k = 0; k < 2; ++k) {
      if (call->index[static_cast<size_t>(2 * t + k)] < 0) continue;
      EXPECT_NEAR(call->weight[static_cast<size_t>(2 * t + k)], p(k) / (p(0) + p(1)), 1e-5);
      halves += call->index[static_cast<size_t>(2 * t + 1 - k)] < 0;
    }
  }
  EXPECT_GT(halves, 5);  // tokens that kept one of two
  EXPECT_LE(*std::max_element(call->position.begin(), call->position.end()), 11);
}

TEST_F(GateTest, GroupsLimitTheChoice) {
  make("sigmoid_topk", {{"k", int64_t{3}}, {"n_group", int64_t{4}}, {"topk_group", int64_t{2}}});
  const auto in = inputs();
  const auto call = run(in);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto s = [&](int64_t e) {
      return 1 / (1 + std::exp(-double{in.logits[static_cast<size_t>(t * kExperts + e)]}));
    };
    std::vector<std::pair<double, int64_t>> groups;
    for (int64_t g = 0; g < 4; ++g) groups.emplace_back(-s(2 * g) - s(2 * g + 1), g);
    std::sort(groups.begin(), groups.end());
    std::vector<std::pair<double, int32_t>> experts;
    for (int64_t n = 0; n < 2; ++n) {
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t e = 2 * groups[static_cast<size_t>(n)].second + i;
        experts.emplace_back(-s(e), static_cast<int32_t>(e));
      }
    }
    std::sort(experts.begin(), experts.end());
    EXPECT_EQ(experts_of(*call, t),
              (Experts{experts[0].second, experts[1].second, experts[2].second}));
  }
}

TEST_F(GateTest, ImpossibleGroupsAreRefused) {
  EXPECT_THROW(make("sigmoid_topk", {{"topk_group", int64_t{2}}}), Error);
  make("sigmoid_topk", {{"n_group", int64_t{3}}});
  EXPECT_THROW(gate_->plan_shape(kTokens, kExperts, true), Error);
  make("sigmoid_topk", {{"n_group", int64_t{4}}, {"k", int64_t{3}}});
  EXPECT_THROW(gate_->plan_shape(kTokens, kExperts, true), Error);
}

TEST_F(GateTest, AHashFollowsTheTokenAlone) {
  make("hash", {{"k", int64_t{3}}});
  auto in = inputs();
  for (size_t t = 0; t < in.ids.size(); ++t) in.ids[t] = static_cast<int32_t>(t % 32);
  const auto call = run(in), other = run([&] {
                               auto moved = inputs(1.f, 7);
                               std::copy(in.ids.rbegin(), in.ids.rend(), moved.ids.begin());
                               return moved;
                             }());
  std::set<Experts> seen;
  for (int64_t t = 0; t < kTokens; ++t) {
    const Experts here = experts_of(*call, t);
    EXPECT_EQ(here.size(), 3U);
    EXPECT_EQ(here, experts_of(*call, t % 32));
    EXPECT_EQ(here, experts_of(*other, kTokens - 1 - t));
    EXPECT_EQ(call->weight[static_cast<size_t>(3 * t)], 1.f / 3);
    seen.insert(here);
  }
  EXPECT_GT(seen.size(), 15U);
  make("hash", {{"k", int64_t{3}}}, /*layer=*/1);
  EXPECT_NE(run(in)->index, call->index);
  make("hash", {{"k", int64_t{3}}, {"seed", int64_t{1}}});
  EXPECT_NE(run(in)->index, call->index);
}

TEST_F(GateTest, AHashSpreadsTokensEvenly) {
  make("hash", {});
  std::vector<float> total(kExperts);
  for (int round = 0; round < 50; ++round) {
    auto in = inputs();
    for (size_t t = 0; t < in.ids.size(); ++t) {
      in.ids[t] = static_cast<int32_t>(round * kTokens + static_cast<int64_t>(t));
    }
    const std::vector<float> one = load(*run(in));
    for (size_t e = 0; e < total.size(); ++e) total[e] += one[e];
  }
  EXPECT_LT(imbalance(total), 1.15f);  // 4800 tokens: 600 an expert, deviation 23
}

TEST_F(GateTest, AHashOfPositionsIsBalancedExactly) {
  make("hash", {{"k", int64_t{2}}, {"key", std::string("position")}});
  auto in = inputs(1.f);
  in.batch = 3;  // sequences of 32
  const auto call = run(in);
  EXPECT_EQ(load(*call), std::vector<float>(kExperts, 2.f * kTokens / kExperts));
  EXPECT_EQ(experts_of(*call, 5), experts_of(*call, 37));
}

TEST_F(GateTest, AHashMayTakeItsWeightsFromTheRouter) {
  make("hash", {{"k", int64_t{2}}, {"weights", std::string("softmax")}});
  const auto in = inputs();
  const auto call = run(in);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto p = [&](int64_t k) {
      const int32_t e = call->index[static_cast<size_t>(2 * t + k)];
      return std::exp(double{in.logits[static_cast<size_t>(t * kExperts + e)]});
    };
    EXPECT_NEAR(call->weight[static_cast<size_t>(2 * t)], p(0) / (p(0) + p(1)), 1e-5);
  }
}

}  // namespace
}  // namespace moiety
