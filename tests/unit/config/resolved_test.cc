// The resolved file is complete: read again it gives the same configuration.
#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

void expect_same(const RunConfig& a, const RunConfig& b) {
  EXPECT_EQ(a.resolved_yaml, b.resolved_yaml);
  EXPECT_EQ(a.moe.layers, b.moe.layers);
  EXPECT_EQ(a.moe.num_experts, b.moe.num_experts);
  EXPECT_EQ(a.moe.gate.options, b.moe.gate.options);
  EXPECT_EQ(a.moe.expert.options, b.moe.expert.options);
  EXPECT_EQ(a.optimizer.options, b.optimizer.options);
  EXPECT_EQ(a.scheduler_options, b.scheduler_options);
  EXPECT_EQ(a.data.options, b.data.options);
  EXPECT_EQ(a.base_lr, b.base_lr);
  EXPECT_EQ(a.precision, b.precision);
  EXPECT_EQ(a.plugins, b.plugins);
}

RunConfig again(const RunConfig& c) {
  PluginRegistry plugins = tree_plugins();
  RunConfig copy = parse_config(c.resolved_yaml, "config.yaml", {{}, c.world_size}, plugins);
  for (const Provenance& p : copy.provenance) {
    EXPECT_TRUE(p.source.starts_with("config.yaml:")) << p.path << ": " << p.source;
  }
  return copy;
}

TEST(Resolved, ReferenceConfigurations) {
  for (const char* name : {"quickstart.yaml", "guide.yaml", "gpt_350m_moe32.yaml"}) {
    PluginRegistry plugins = tree_plugins();
    const RunConfig c = load_config(kSource / "configs" / name, {}, plugins);
    expect_same(c, again(c));
  }
}

TEST(Resolved, EverythingSet) {
  const RunConfig c = parse(
      "model: {layers: 6, init_std: 0.1234567890123456, freeze: ['*', 'yes', '$${x}', '1', 'a: "
      "b']}\n"
      "moe: {num_experts: 3, k: 3, use_residual: true, balance_scope: model}\n"
      "eval: {sample_prompt: \"a\\n\\\"b\\\" \\\\ \\t#\"}\n"
      "fp16: {enabled: true}\nscheduler: {type: WarmupLR}\n"
      "gradient_accumulation_steps: 2\nrun: {time: 5m, loss_reduction: micro_batch}\n"
      "optimizer: {type: sgd, params: {lr: 1e-30}, groups: [{match: '*.$${x}', lr_scale: 0.3}, "
      "{match: [a, '?'], decay_scale: 0}]}\n");
  EXPECT_EQ(c.model.freeze[2], "${x}");
  const RunConfig copy = again(c);
  expect_same(c, copy);
  EXPECT_EQ(copy.model.freeze, c.model.freeze);
  ASSERT_EQ(copy.param_groups.size(), 2U);
  EXPECT_EQ(copy.param_groups[0].match, (std::vector<std::string>{"*.${x}"}));
  EXPECT_EQ(copy.param_groups[0].lr_scale, 0.3);
  EXPECT_FALSE(copy.param_groups[0].decay_scale);
  EXPECT_EQ(copy.param_groups[1].match, (std::vector<std::string>{"a", "?"}));
  EXPECT_EQ(copy.param_groups[1].decay_scale, 0);
  EXPECT_EQ(copy.eval.sample_prompt, "a\n\"b\" \\ \t#");
  EXPECT_EQ(copy.model.init_std, 0.1234567890123456);
}

TEST(Resolved, Examples) {
  int examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kSource / "configs/examples")) {
    if (entry.path().extension() != ".yaml") continue;
    PluginRegistry plugins = tree_plugins();
    const RunConfig c = load_config(entry.path(), {}, plugins);
    expect_same(c, again(c));
    ++examples;
  }
  EXPECT_GT(examples, 12);
}

/// The resolved file names every key; a recording that is not made forbids no graph.
TEST(Resolved, AGraphThatIsOn) {
  const RunConfig c = parse("run: {graph: on}");
  expect_same(c, again(c));
}

TEST(Resolved, WithoutMoe) {
  const RunConfig c = parse("run: {steps: 3}");
  expect_same(c, again(c));
}

TEST(Resolved, ProvenanceIsThatOfEveryLine) {
  const RunConfig c = parse("model: {layers: 6}\n", {"run.seed=3"});
  const std::string text = annotated_yaml(c);
  EXPECT_NE(text.find("  layers: 6"), std::string::npos);
  EXPECT_NE(text.find("# test.yaml:2:17\n"), std::string::npos) << text;
  EXPECT_NE(text.find("# override 'run.seed=3'\n"), std::string::npos);
  EXPECT_NE(text.find("# default: 4 * model.hidden\n"), std::string::npos);
}

}  // namespace
}  // namespace moiety
