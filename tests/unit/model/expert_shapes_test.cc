// What expert types and the moe section make of a layer's shape, with the plugins of the tree.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/config/load.h"
#include "core/model/gpt.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace {

using Ints = std::vector<int64_t>;

class ExpertShapes : public testing::Test {
 protected:
  /// A model of `layers` layers, an MoE layer every other.
  Gpt& build(int64_t layers, const std::string& moe) {
    const std::string yaml =
        "data: {type: synthetic}\ntrain_batch_size: 4\nmodel: {layers: " + std::to_string(layers) +
        ", hidden: 8, heads: 2, vocab_size: 16, sequence_length: 8}\nmoe: {" + moe + "}\n";
    config_ = parse_config(yaml, "shapes.yaml", {}, registry_);
    factory_ = plugin_factory(config_.moe, registry_);
    model_ = std::make_unique<Gpt>(config_, factory_, context_);
    return *model_;
  }
  std::string error(int64_t layers, const std::string& moe) {
    try {
      build(layers, moe);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "no error";
  }
  std::vector<float> values(const std::string& name) {
    const TableEntry* entry = model_->parameters().find(name);
    return entry == nullptr ? std::vector<float>{} : model_->parameters().read(*entry);
  }
  Ints shape(const std::string& name) {
    const TableEntry* entry = model_->parameters().find(name);
    return entry == nullptr ? Ints{} : entry->shape;
  }

  PluginRegistry registry_{
      {std::filesystem::path(MOIETY_BINARY_DIR) / "lib" / "moiety" / "plugins"}};
  DeviceContext context_{Device{}, 1};
  RunConfig config_;
  MoeFactory factory_;
  std::unique_ptr<Gpt> model_;
};

TEST_F(ExpertShapes, APyramidDoublesTheLastTwoMoeLayers) {
  const std::string pyramid = "num_experts: 2, expert: {type: pyramid_residual}";
  EXPECT_EQ(build(24, pyramid).experts_of_layers(), (Ints{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4}));
  EXPECT_EQ(build(8, pyramid).experts_of_layers(), (Ints{2, 2, 4, 4}));
  EXPECT_EQ(build(6, pyramid).experts_of_layers(), (Ints{2, 2, 4}));  // at most half
  EXPECT_EQ(build(2, pyramid).experts_of_layers(), (Ints{2}));
  EXPECT_EQ(build(8,
                  "num_experts: 2, expert: {type: pyramid_residual, params: {growth: 3, "
                  "last_layers: 1}}")
                .experts_of_layers(),
            (Ints{2, 2, 2, 6}));
  EXPECT_EQ(shape("layers.7.moe.coefficient.weight"), (Ints{8, 2}));
  EXPECT_EQ(shape("layers.7.moe.dense.w_in"), (Ints{1, 8, 32}));
  EXPECT_EQ(shape("layers.7.moe.experts.w_in"), (Ints{6, 8, 32}));
  EXPECT_EQ(shape("layers.7.moe.router.weight"), (Ints{8, 6}));
}

TEST_F(ExpertShapes, AListAndAPyramidAreTwoRules) {
  EXPECT_EQ(error(8, "num_experts: [2, 2, 4, 4], expert: {type: pyramid_residual}"),
            "moe.num_experts: a list beside expert type pyramid_residual, which changes the counts "
            "by layer (MoE layer 2: 4 to 8); give one number, or choose another moe.expert.type");
  EXPECT_EQ(build(8, "num_experts: [2, 2, 4, 4], use_residual: true").experts_of_layers(),
            (Ints{2, 2, 4, 4}));
}

TEST_F(ExpertShapes, ResidualIsUseResidualOfTheExpertType) {
  build(2, "num_experts: 2, expert: {type: residual, params: {dense_hidden: 12}}");
  EXPECT_EQ(shape("layers.1.moe.dense.w_in"), (Ints{1, 8, 12}));
  EXPECT_EQ(shape("layers.1.moe.coefficient.bias"), (Ints{2}));
  build(2, "num_experts: 2, use_residual: true, expert: {type: geglu}");
  EXPECT_EQ(shape("layers.1.moe.dense.w_in"), (Ints{1, 8, 2, 32}));
  EXPECT_EQ(shape("layers.1.moe.coefficient.weight"), (Ints{8, 2}));
}

TEST_F(ExpertShapes, SharedExpertsOfAnyType) {
  build(2, "num_experts: 2, hidden: 6, expert: {type: swiglu}, shared_expert: {number: 2}");
  EXPECT_EQ(shape("layers.1.moe.dense.w_in"), (Ints{1, 8, 2, 12}));
  EXPECT_EQ(shape("layers.1.moe.dense_gate.weight"), (Ints{}));
  build(2, "num_experts: 2, expert: {type: ffn}, shared_expert: {hidden: 10, gate: true}");
  EXPECT_EQ(shape("layers.1.moe.dense.w_in"), (Ints{1, 8, 10}));
  EXPECT_EQ(shape("layers.1.moe.dense_gate.weight"), (Ints{8, 1}));
  EXPECT_EQ(error(2, "num_experts: 2, expert: {type: residual}, shared_expert: {number: 1}"),
            "moe.shared_expert: expert type residual has a dense branch of its own, and a layer "
            "has one; remove moe.shared_expert, or choose another moe.expert.type");
}

/// As DeepSpeed's deep copies: all experts, and the MLP that they were copied from.
TEST_F(ExpertShapes, IdenticalExpertsAndTheirDenseBranch) {
  const std::string moe = "num_experts: 3, use_residual: true, expert_initialization: ";
  build(2, moe + "identical");
  const std::vector<float> experts = values("layers.1.moe.experts.w_in");
  const std::vector<float> dense = values("layers.1.moe.dense.w_in");
  ASSERT_EQ(experts.size(), 3 * dense.size());
  for (size_t i = 0; i < experts.size(); ++i) ASSERT_EQ(experts[i], dense[i % dense.size()]) << i;
  build(2, moe + "independent");
  const std::vector<float> drawn = values("layers.1.moe.experts.w_in");
  EXPECT_NE(drawn[0], drawn[dense.size()]);
  EXPECT_NE(values("layers.1.moe.dense.w_in")[0], drawn[0]);
  build(2, "num_experts: 3, shared_expert: {number: 1}, expert_initialization: identical");
  EXPECT_NE(values("layers.1.moe.dense.w_in")[0], values("layers.1.moe.experts.w_in")[0]);
}

}  // namespace
}  // namespace moiety
