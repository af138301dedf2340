// What keeps the experts' loads even: the correction bias, sinkhorn, expert choice.
#include <cmath>

#include "tests/unit/gating/gate_fixture.h"

namespace moiety {
namespace {

TEST_F(GateTest, TheBiasMovesAgainstTheLoadByItsSpeed) {
  make("sigmoid_topk", {{"bias_update_speed", 0.25}});
  end_step({10, 0, 5, 5, 5, 5, 5, 5});  // the mean is 5
  EXPECT_EQ(parameters_->values(), (std::vector<float>{-0.25f, 0.25f, 0, 0, 0, 0, 0, 0}));
  end_step({10, 0, 5, 5, 5, 5, 6, 4});
  EXPECT_EQ(parameters_->values(), (std::vector<float>{-0.5f, 0.5f, 0, 0, 0, 0, -0.25f, 0.25f}));
}

TEST_F(GateTest, ASkippedBatchLeavesTheBias) {
  make("softmax_topk", {{"bias_update_speed", 0.25}});
  end_step({10, 0, 5, 5, 5, 5, 5, 5}, {.skip = 1});
  EXPECT_EQ(parameters_->values(), std::vector<float>(kExperts));
}

TEST_F(GateTest, WithoutSpeedNothingMoves) {
  make("softmax_topk", {});
  EXPECT_TRUE(parameters_->empty());
  make("sigmoid_topk", {{"bias_update_speed", 0.0}});
  end_step({10, 0, 5, 5, 5, 5, 5, 5});
  EXPECT_EQ(parameters_->values(), std::vector<float>(kExperts));
}

class BiasTest : public GateTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(BiasTest, BalancesASkewedRouter) {
  make(GetParam(), {{"k", int64_t{2}}, {"bias_update_speed", 0.002}});
  EXPECT_GT(imbalance(load(*run(inputs(0.4f)))), 2);
  for (uint32_t step = 0; step < 800; ++step) end_step(load(*run(inputs(0.4f, step))));
  std::vector<float> total(kExperts);
  for (uint32_t seed = 1000; seed < 1020; ++seed) {  // logits that no step has seen
    const std::vector<float> one = load(*run(inputs(0.4f, seed)));
    for (size_t e = 0; e < total.size(); ++e) total[e] += one[e];
  }
  EXPECT_LT(imbalance(total), 1.2f);
}
INSTANTIATE_TEST_SUITE_P(Gates, BiasTest, ::testing::Values("sigmoid_topk", "softmax_topk"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(GateTest, TheBiasDoesNotReachTheWeights) {
  make("sigmoid_topk", {{"k", int64_t{2}}, {"bias_update_speed", 1.0}});
  end_step({0, 1, 1, 1, 1, 1, 1, 1});  // expert 0 is preferred to all from now on
  end_step({0, 1, 1, 1, 1, 1, 1, 1});
  const auto in = inputs();
  const auto call = run(in);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto at = static_cast<size_t>(2 * t);
    ASSERT_EQ(call->index[at], 0);
    const auto score = [&](int32_t e) {
      return 1 / (1 + std::exp(-double{in.logits[static_cast<size_t>(t * kExperts + e)]}));
    };
    const double a = score(0), b = score(call->index[at + 1]);
    EXPECT_NEAR(call->weight[at], a / (a + b), 1e-6);
  }
}

TEST_F(GateTest, SinkhornBalancesInTrainingAlone) {
  make("sinkhorn", {});
  auto in = inputs(0.8f);
  EXPECT_LT(imbalance(load(*run(in))), 1.6f);
  in.training = false;
  const auto call = run(in);
  EXPECT_GT(imbalance(load(*call)), 3);
  for (int64_t t = 0; t < kTokens; ++t) {  // the best logit, weighted by its sigmoid
    const auto row = in.logits.begin() + t * kExperts;
    const auto best = std::max_element(row, row + kExperts);
    ASSERT_EQ(call->index[static_cast<size_t>(t)], best - row);
    EXPECT_NEAR(call->weight[static_cast<size_t>(t)], 1 / (1 + std::exp(-double{*best})), 1e-6);
  }
}

/// Megatron-LM's loop in f64, run until it stands still.
TEST_F(GateTest, SinkhornChoosesAsTheConvergedPlanDoes) {
  make("sinkhorn", {{"k", int64_t{2}}, {"iterations", int64_t{100}}});
  const auto in = inputs(0.3f);
  const auto call = run(in);
  std::vector<double> column(kExperts, 1), row(kTokens);
  const auto mass = [&](int64_t t, int64_t e) {
    return std::exp(double{in.logits[static_cast<size_t>(t * kExperts + e)]});
  };
  for (int round = 0; round < 5000; ++round) {
    for (int64_t t = 0; t < kTokens; ++t) {
      double sum = 0;
      for (int64_t e = 0; e < kExperts; ++e) sum += column[static_cast<size_t>(e)] * mass(t, e);
      row[static_cast<size_t>(t)] = 1 / (kTokens * sum);
    }
    for (int64_t e = 0; e < kExperts; ++e) {
      double sum = 0;
      for (int64_t t = 0; t < kTokens; ++t) sum += row[static_cast<size_t>(t)] * mass(t, e);
      column[static_cast<size_t>(e)] = 1 / (kExperts * sum);
    }
  }
  int64_t same = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    int64_t best = 0;
    for (int64_t e = 1; e < kExperts; ++e) {
      const auto plan = [&](int64_t i) { return column[static_cast<size_t>(i)] * mass(t, i); };
      if (plan(e) > plan(best)) best = e;
    }
    same += call->index[static_cast<size_t>(2 * t)] == best;
  }
  EXPECT_EQ(same, kTokens);
}

TEST_F(GateTest, ExpertChoiceGivesEveryExpertTheSame) {
  make("expert_choice", {{"capacity_factor", 2.0}});
  const auto call = run(inputs(0.8f));
  EXPECT_EQ(load(*call), std::vector<float>(kExperts, 2.f * kTokens / kExperts));
}

}  // namespace
}  // namespace moiety
