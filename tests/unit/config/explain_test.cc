// `config explain` and `config diff`.
#include "core/config/explain.h"

#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

std::string explain(const std::string& path) {
  PluginRegistry plugins = tree_plugins();
  return explain_key(path, plugins);
}

TEST(Explain, Key) {
  EXPECT_EQ(explain("moe.capacity_factor"),
            "moe.train_capacity_factor, or moe.capacity_factor\n"
            "  meaning     room of an expert in training, in multiples of the even share\n"
            "  value       a number\n"
            "  default     the gate's\n"
            "  fills       moe.gate.params.capacity_factor\n"
            "  related     DeepSpeed: MoE(capacity_factor=1.0); Megatron: "
            "--moe-train-capacity-factor\n");
  EXPECT_EQ(
      explain("zero_optimization.overlap_comm"),
      "zero_optimization.overlap_comm\n"
      "  meaning     DeepSpeed's; changes nothing here: about how gradients and weights travel "
      "between ranks\n");
}

TEST(Explain, OptionOfComponents) {
  const std::string text = explain("optimizer.params.adam_w_mode");
  EXPECT_TRUE(text.starts_with("optimizer.params.adam_w_mode, of optimizer adam\n")) << text;
  EXPECT_NE(text.find("default     true"), std::string::npos) << text;
  EXPECT_NE(explain("scheduler").find("scheduler.type: WarmupLR"), std::string::npos);
  EXPECT_NE(explain("moe").find("moe.num_experts"), std::string::npos);
}

TEST(Explain, ValueInAFile) {
  PluginRegistry plugins = tree_plugins();
  const RunConfig run = parse("model: {layers: 2}\nmoe: {num_experts: 4, capacity_factor: 1.5}");
  const auto explained = [&](const char* path) { return explain_key(path, plugins, &run); };
  EXPECT_NE(explained("model.layers").find("here        2 (test.yaml:2:17)"), std::string::npos);
  EXPECT_NE(explained("model.heads").find("here        4 (default)"), std::string::npos);
  EXPECT_NE(explained("moe.capacity_factor").find("here        1.5 ("), std::string::npos);
  EXPECT_NE(explained("moe.k").find("resolved into other keys"), std::string::npos);
}

TEST(Explain, EveryKeyOfAResolvedFile) {
  for (const Provenance& p : parse("moe: {num_experts: 4}").provenance) {
    EXPECT_NE(explain(p.path).find("meaning"), std::string::npos) << p.path;
  }
}

TEST(Explain, NoSuchKey) {
  const auto error = [](const std::string& path) {
    try {
      return explain(path);
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
  };
  EXPECT_EQ(error("gradient_cliping"),
            "config explain: there is no key 'gradient_cliping'; did you mean "
            "'gradient_clipping'?");
  EXPECT_EQ(error("num_experts"),
            "config explain: there is no key 'num_experts'; did you mean 'moe.num_experts'?");
  EXPECT_EQ(error("optimizer.params.learning"),
            "config explain: no optimizer has an option 'learning'");
}

TEST(Diff, ShowsWhatDiffers) {
  RunConfig a = parse("model: {layers: 2}"), b = parse("model: {layers: 3}");
  a.file = "a.yaml", b.file = "b.yaml";
  EXPECT_EQ(config_diff(a, b),
            "KEY           a.yaml  b.yaml\n"
            "model.layers  2       3\n");
  EXPECT_EQ(config_diff(a, a), "");
  const RunConfig c = parse("model: {layers: 2}\noptimizer: {type: sgd}");
  EXPECT_NE(config_diff(a, c).find("optimizer.params.momentum  -"), std::string::npos);
}

}  // namespace
}  // namespace moiety
