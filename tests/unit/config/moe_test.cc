// The moe section: layers, counts, gates.
#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

using Ints = std::vector<int64_t>;

TEST(Moe, IntervalCountsFromOne) {
  const RunConfig c = parse("model: {layers: 6}\nmoe: {num_experts: 8}\n");
  EXPECT_TRUE(c.moe.enabled);
  EXPECT_EQ(c.moe.layers, (Ints{1, 3, 5}));
  EXPECT_EQ(c.moe.num_experts, (Ints{8, 8, 8}));
  EXPECT_EQ(parse("model: {layers: 7}\nmoe: {num_experts: 8, expert_interval: 3}\n").moe.layers,
            (Ints{2, 5}));
}

TEST(Moe, PyramidAndDenseLayersInIt) {
  const RunConfig c = parse("model: {layers: 6}\nmoe: {num_experts: [4, 1, 8]}\n");
  EXPECT_EQ(c.moe.layers, (Ints{1, 5}));
  EXPECT_EQ(c.moe.num_experts, (Ints{4, 8}));
}

TEST(Moe, ListedLayers) {
  const RunConfig c = parse("model: {layers: 6}\nmoe: {num_experts: [4, 1], layers: [0, 5]}\n");
  EXPECT_EQ(c.moe.layers, (Ints{0, 5}));
  EXPECT_EQ(c.moe.num_experts, (Ints{4, 1}));
}

TEST(Moe, OffUnlessAsked) {
  EXPECT_FALSE(parse("").moe.enabled);
  EXPECT_TRUE(parse("").moe.gate.type.empty());
  EXPECT_FALSE(parse("moe: {enabled: false, num_experts: 8}").moe.enabled);
}

TEST(Moe, KChoosesTheGate) {
  EXPECT_EQ(parse("moe: {num_experts: 8}").moe.gate.type, "top1");
  EXPECT_EQ(parse("moe: {num_experts: 8, k: 2}").moe.gate.type, "top2");
  const RunConfig c = parse("moe: {num_experts: 8, k: 3}");
  EXPECT_EQ(c.moe.gate.type, "topk");
  EXPECT_EQ(option<int64_t>(c.moe.gate, "k"), 3);
  EXPECT_EQ(source_of(c, "moe.gate.type"), "chosen by moe.k: 3");
  EXPECT_EQ(parse("moe: {num_experts: 8, k: 2, gate: {type: top2}}").moe.gate.type, "top2");
}

TEST(Moe, KeysFillTheGatesOptions) {
  const RunConfig c = parse(
      "moe:\n  num_experts: 8\n  capacity_factor: 1.5\n  eval_capacity_factor: 2\n"
      "  min_capacity: 7\n  drop_tokens: false\n  use_rts: false\n  noisy_gate_policy: null\n");
  EXPECT_EQ(option<double>(c.moe.gate, "capacity_factor"), 1.5);
  EXPECT_EQ(option<double>(c.moe.gate, "eval_capacity_factor"), 2);
  EXPECT_EQ(option<int64_t>(c.moe.gate, "min_capacity"), 7);
  EXPECT_FALSE(option<bool>(c.moe.gate, "drop_tokens"));
  EXPECT_FALSE(option<bool>(c.moe.gate, "use_rts"));
  EXPECT_EQ(option<std::string>(c.moe.gate, "noisy_gate_policy"), "None");
  EXPECT_EQ(source_of(c, "moe.gate.params.capacity_factor"),
            "test.yaml:4:20 (moe.train_capacity_factor)");
}

TEST(Moe, WidthsFollow) {
  const RunConfig c = parse("model: {hidden: 32}\nmoe: {num_experts: 8}\n");
  EXPECT_EQ(c.model.ffn_hidden, 128);
  EXPECT_EQ(c.moe.hidden, 128);
  EXPECT_EQ(c.moe.expert.type, "ffn");
  EXPECT_EQ(parse("model: {hidden: 32}\nmoe: {num_experts: 8, hidden: 16}\n").moe.hidden, 16);
}

TEST(Moe, SharedExperts) {
  const RunConfig c = parse("moe: {num_experts: 8, hidden: 48, shared_expert: {number: 2}}");
  EXPECT_EQ(c.moe.shared_hidden, 96);
  EXPECT_FALSE(c.moe.shared_gate);
  const RunConfig gated = parse("moe: {num_experts: 8, shared_expert: {hidden: 80, gate: true}}");
  EXPECT_EQ(gated.moe.shared_hidden, 80);
  EXPECT_TRUE(gated.moe.shared_gate);
  EXPECT_EQ(parse("moe: {num_experts: 8}").moe.shared_hidden, 0);
}

TEST(Moe, GranularitySplitsExpertsAndMultipliesTheirChoice) {
  const RunConfig c = parse(
      "model: {layers: 6}\n"
      "moe: {num_experts: [4, 1, 8], hidden: 96, granularity: 4, k: 2, shared_expert: {number: "
      "1}}");
  EXPECT_EQ(c.moe.num_experts, (Ints{16, 32}));  // the layer of one expert stays dense
  EXPECT_EQ(c.moe.hidden, 24);
  EXPECT_EQ(c.moe.shared_hidden, 24);
  EXPECT_EQ(c.moe.gate.type, "topk");
  EXPECT_EQ(option<int64_t>(c.moe.gate, "k"), 8);
  EXPECT_EQ(parse("moe: {num_experts: 8, granularity: 2}").moe.gate.type, "top2");
  PluginRegistry plugins = tree_plugins();
  const RunConfig again = parse_config(c.resolved_yaml, "again", {}, plugins);  // splits once
  EXPECT_EQ(again.moe.num_experts, c.moe.num_experts);
  EXPECT_EQ(again.moe.hidden, 24);
  EXPECT_EQ(option<int64_t>(again.moe.gate, "k"), 8);
}

TEST(Moe, AFallingPyramidIsWarnedOf) {
  const RunConfig c = parse("run: {steps: 1}\nmodel: {layers: 6}\nmoe: {num_experts: [16, 8, 8]}");
  ASSERT_EQ(c.warnings.size(), 1U);
  EXPECT_EQ(c.warnings[0],
            "test.yaml:4:20: moe.num_experts falls from 16 in layer 1 to 8 in layer 3: entry i is "
            "the i-th MoE layer from the input, and later layers gain more from experts "
            "(Rajbhandari et al., 2022, section 4.1), so published pyramids rise, as in [32, 32, "
            "64]");
  EXPECT_TRUE(
      parse("run: {steps: 1}\nmodel: {layers: 6}\nmoe: {num_experts: [4, 8, 8]}").warnings.empty());
}

TEST(Moe, BalancingLossesAddUpByScope) {
  const RunConfig c = parse(
      "moe:\n  num_experts: 8\n  balance_scope: global_batch\n  balance_loss_coeff: 0.02\n"
      "  balance_losses: {sequence: 1e-4, importance: 0.1, load: 0.2}\n");
  const BalanceLosses all = balance_losses_of(c.moe);
  EXPECT_EQ(all.global_batch, 0.02);
  EXPECT_EQ(all.sequence, 1e-4);
  EXPECT_EQ(all.importance, 0.1);
  EXPECT_EQ(all.load, 0.2);
  EXPECT_EQ(all.micro_batch + all.model, 0);
}

/// The one warning of a small model behind this gate, or "".
std::string balance_warning(const std::string& gate, const std::string& more = "") {
  const RunConfig c =
      parse("run: {steps: 1}\nmoe: {num_experts: 4, gate: {type: " + gate + "}" + more + "}");
  EXPECT_LE(c.warnings.size(), 1U);
  return c.warnings.empty() ? "" : c.warnings[0];
}

TEST(Moe, WarnsWhenNothingBalances) {
  const std::string off = ", moe_loss_coeff: 0";
  EXPECT_NE(balance_warning("topk", off).find("no loss balances the experts"), std::string::npos);
  EXPECT_EQ(balance_warning("topk", off + ", balance_losses: {sequence: 1e-3}"), "");
  EXPECT_EQ(balance_warning("topk", off + ", balance_loss_coeff: 0.01"), "");
  for (const char* gate : {"hash", "sinkhorn", "expert_choice, params: {allow_future_leak: true}",
                           "softmax_topk, params: {bias_update_speed: 0.001}"}) {
    EXPECT_EQ(balance_warning(gate, off), "") << gate;
  }
}

TEST(Moe, WarnsWhenALossIsWeighedThatTheGateDoesNotHave) {
  const std::string warning = balance_warning("softmax_topk");
  EXPECT_NE(warning.find("'softmax_topk' has no loss of its own"), std::string::npos) << warning;
  EXPECT_NE(warning.find("bias_update_speed"), std::string::npos) << warning;
  EXPECT_EQ(balance_warning("softmax_topk", ", balance_loss_coeff: 0.01"), "");
  EXPECT_EQ(balance_warning("softmax_topk, params: {bias_update_speed: 0.001}"), "");
  EXPECT_NE(balance_warning("sigmoid_topk, params: {bias_update_speed: 0}"), "");
  for (const char* gate : {"top1", "top2", "topk", "sigmoid_topk", "hash", "sinkhorn",
                           "expert_choice, params: {allow_future_leak: true}"}) {
    EXPECT_EQ(balance_warning(gate), "") << gate;
  }
}

}  // namespace
}  // namespace moiety
