// Training in FP8: on a small model beside bf16, in a graph, recomputed.
#include <gtest/gtest.h>

#include "tests/unit/train/small_run.h"

namespace moiety {
namespace {

class Fp8Step : public DeviceStep {
 protected:
  /// Dense and MoE layers, a dense branch with a bias; widths of more than a block, one of them
  /// short.
  static std::vector<std::string> run_of(std::vector<std::string> more) {
    for (const char* common : {"moe.expert_interval=2", "model.hidden=160", "model.ffn_hidden=192",
                               "moe.gate.params.k=2"}) {
      more.emplace_back(common);
    }
    return low_precision(std::move(more));
  }
  static double loss_after(int steps, std::vector<std::string> more) {
    SmallRun run(run_of(std::move(more)));
    run.steps(steps);
    EXPECT_EQ(run.runner->read_control().skipped, 0);
    return run.loss();
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Fp8Step, testing::Values("cpu", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

TEST_P(Fp8Step, LearnsAsInBf16) {
  const double start = loss_after(1, {}), bf16 = loss_after(30, {});
  const double fp8 = loss_after(30, {"fp8.enabled=true"});
  EXPECT_LT(bf16, start - 0.5);
  EXPECT_NEAR(fp8, bf16, 0.05);
}

/// The first step's loss tells which products ran in FP8.
TEST_P(Fp8Step, EachPartCanStayInBf16) {
  const double bf16 = loss_after(1, {});
  const double dense = loss_after(1, {"fp8={enabled: true, experts: false}"});
  const double experts = loss_after(1, {"fp8={enabled: true, dense: false}"});
  const double both = loss_after(1, {"fp8={enabled: true}"});
  EXPECT_NE(dense, bf16);
  EXPECT_NE(experts, bf16);
  EXPECT_NE(dense, experts);
  EXPECT_NE(both, dense);
  EXPECT_NE(both, experts);
  for (const double loss : {dense, experts, both}) EXPECT_NEAR(loss, bf16, 0.02);
}

TEST_P(Fp8Step, AGraphAndARecomputationKeepTheBits) {
  SmallRun stream(run_of({"fp8.enabled=true"})), graph(run_of({"fp8.enabled=true"}));
  SmallRun again(run_of({"fp8.enabled=true", "activation_checkpointing.policy=full"}));
  stream.steps(8);
  graph.steps(8, /*graph=*/true);
  again.steps(8);
  EXPECT_EQ(stream.weights(), graph.weights());
  EXPECT_EQ(stream.weights(), again.weights());
}

}  // namespace
}  // namespace moiety
