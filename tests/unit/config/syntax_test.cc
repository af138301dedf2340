// What a scalar means, composition, overrides, interpolation: the cases that are no errors.
#include <cstdlib>

#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

TEST(Syntax, Numbers) {
  const RunConfig c = parse(
      "model: {norm_eps: 1e-8, init_std: .5, rope_theta: 1e4}\n"
      "run: {tokens: 1e9, seed: +7, time: 1h30m}\n"
      "optimizer: {type: Adam, params: {lr: 3e-4}}\n");
  EXPECT_EQ(c.model.norm_eps, 1e-8);
  EXPECT_EQ(c.model.init_std, 0.5);
  EXPECT_EQ(c.run.tokens, 1000000000);
  EXPECT_EQ(c.run.seed, 7U);
  EXPECT_EQ(c.run.seconds, 5400);
  EXPECT_EQ(c.base_lr, 3e-4);
}

TEST(Syntax, Durations) {
  EXPECT_EQ(parse("run: {time: 90s}").run.seconds, 90);
  EXPECT_EQ(parse("run: {time: 4m30s}").run.seconds, 270);
  EXPECT_EQ(parse("run: {time: 2h}").run.seconds, 7200);
  EXPECT_EQ(parse("run: {time: 0.5}").run.seconds, 0.5);
}

TEST(Syntax, OldBooleansAreStrings) {
  EXPECT_EQ(parse("eval: {sample_prompt: no}").eval.sample_prompt, "no");
  EXPECT_EQ(parse("run: {graph: on}").run.graph, "on");
  EXPECT_EQ(parse("run: {graph: off}").run.graph, "off");
}

TEST(Syntax, CompactJson) {
  PluginRegistry plugins = tree_plugins();
  const RunConfig c =
      parse_config(R"({"data":{"type":"synthetic"},"train_batch_size":4,"fp16":{"enabled":true}})",
                   "a.json", {}, plugins);
  EXPECT_EQ(c.train_batch_size, 4);
  EXPECT_EQ(c.precision, Precision::kF16);
}

TEST(Syntax, AnchorsCopy) {
  const RunConfig c = parse("x-n: &n [a, b]\nmodel: {freeze: *n}\n", {"model.freeze[0]=c"});
  EXPECT_EQ(c.model.freeze, (std::vector<std::string>{"c", "b"}));
}

TEST(Override, LaysOver) {
  const RunConfig c = parse("model: {layers: 2, freeze: [a, b]}\nscheduler: {type: WarmupLR}\n",
                            {"model.layers=6", "model.freeze[1]=c", "~scheduler", "moe.ep_size=1",
                             "optimizer={type: sgd, params: {lr: 0.5}}", "model.dropout=0.25"});
  EXPECT_EQ(c.model.layers, 6);
  EXPECT_EQ(c.model.freeze, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(c.scheduler_type, "constant");
  EXPECT_EQ(c.optimizer.type, "sgd");
  EXPECT_EQ(c.base_lr, 0.5);
  EXPECT_EQ(c.model.dropout, 0.25);
  EXPECT_EQ(source_of(c, "model.layers"), "override 'model.layers=6'");
  EXPECT_EQ(source_of(c, "model.heads"), "default");
}

TEST(Override, ChangedTypeDropsParams) {
  const char* text = "optimizer: {type: adamw, params: {lr: 0.1, eps: 1e-6}}\n";
  const RunConfig c = parse(text, {"optimizer.params.momentum=0.5", "optimizer.type=sgd"});
  EXPECT_EQ(option<double>(c.optimizer, "momentum"), 0.5);
  EXPECT_EQ(c.base_lr, 1e-3);
  EXPECT_EQ(parse(text, {"optimizer.type=AdamW"}).base_lr, 0.1);
}

TEST(Interpolation, ValuesKeepTheirKind) {
  setenv("MOIETY_TEST_LAYERS", "3", 1);
  const RunConfig c = parse(
      "x-width: 128\nx-names: [a, b]\n"
      "model: {hidden: '64', layers: '${env:MOIETY_TEST_LAYERS}'}\n",
      {"model.hidden=${x-width}", "model.layers=${env:MOIETY_TEST_LAYERS}",
       "model.freeze=${x-names}", "run.directory=runs/w${model.hidden}-h${model.heads}",
       "eval.sample_prompt=$${x}", "run.seed=${env:MOIETY_TEST_UNSET:-5}"});
  EXPECT_EQ(c.model.hidden, 128);
  EXPECT_EQ(c.model.layers, 3);
  EXPECT_EQ(c.model.freeze, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.run.directory, "runs/w128-h4");  // heads: the default
  EXPECT_EQ(c.eval.sample_prompt, "${x}");
  EXPECT_EQ(c.run.seed, 5U);
}

}  // namespace
}  // namespace moiety
