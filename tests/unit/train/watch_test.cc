// What a person is told: warnings of imbalance, the progress line, printable samples.
#include <gtest/gtest.h>

#include "core/config/load.h"
#include "core/train/balance_watch.h"
#include "core/train/gate_probe.h"
#include "core/train/generator.h"
#include "core/train/progress.h"

namespace moiety {
namespace {

StepRecord record(int64_t step, double imbalance, int64_t dead = 0) {
  StepRecord r;
  r.step = step;
  r.tokens = step * 100;
  r.loss = 2;
  r.numbers.layers.resize(1);
  r.numbers.layers[0].imbalance = imbalance;
  r.numbers.layers[0].dead = dead;
  return r;
}

TEST(BalanceWatch, WarnsOnceWhenImbalanceRises) {
  BalanceWatch watch;
  int warnings = 0;
  for (int64_t step = 1; step <= 60; ++step) EXPECT_FALSE(watch.observe(record(step, 1.3)));
  for (int64_t step = 61; step <= 100; ++step) {
    warnings += watch.observe(record(step, 5)).has_value();
  }
  EXPECT_EQ(warnings, 1);
}

TEST(BalanceWatch, IsQuietAboutASteadyOrFallingImbalance) {
  BalanceWatch watch;
  for (int64_t step = 1; step <= 100; ++step) {
    EXPECT_FALSE(watch.observe(record(step, 4 - 0.02 * static_cast<double>(step))));
  }
}

TEST(BalanceWatch, WarnsWhenAnExpertDies) {
  BalanceWatch watch;
  for (int64_t step = 1; step <= 30; ++step) watch.observe(record(step, 1.1));
  const auto warning = watch.observe(record(31, 1.1, 2));
  ASSERT_TRUE(warning);
  EXPECT_NE(warning->find("2 expert(s) are dead"), std::string::npos);
}

TEST(BalanceWatch, SaysWhenEveryBalancerIsOff) {
  MoeConfig moe;
  moe.enabled = true;
  EXPECT_EQ(balancers_off_warning(moe, false), "");  // moe_loss_coeff is 0.01 by default
  moe.loss_coeff = 0;
  EXPECT_NE(balancers_off_warning(moe, false), "");
  EXPECT_EQ(balancers_off_warning(moe, true), "");
  moe.enabled = false;
  EXPECT_EQ(balancers_off_warning(moe, false), "");
}

std::string gate_warning(const std::string& gate, const std::string& more = "") {
  PluginRegistry plugins({std::string(MOIETY_BINARY_DIR) + "/lib/moiety/plugins"});
  const std::string yaml =
      "schema_version: 1\nmodel: {layers: 2}\ndata: {type: synthetic}\nrun: {steps: 1}\n"
      "train_batch_size: 2\nmoe: {num_experts: 4, gate: {type: " +
      gate + "}" + more + "}\n";
  return no_gate_loss_warning(parse_config(yaml, "test.yaml", {}, plugins), plugins);
}

TEST(GateProbe, SaysWhenALossIsWeighedThatTheGateDoesNotHave) {
  const std::string warning = gate_warning("softmax_topk");
  EXPECT_NE(warning.find("'softmax_topk' has no loss of its own"), std::string::npos) << warning;
  EXPECT_NE(warning.find("bias_update_speed"), std::string::npos) << warning;
  EXPECT_EQ(gate_warning("softmax_topk", ", balance_loss_coeff: 0.01"), "");
  EXPECT_EQ(gate_warning("softmax_topk, params: {bias_update_speed: 0.001}"), "");
  EXPECT_NE(gate_warning("sigmoid_topk, params: {bias_update_speed: 0}"), "");
  for (const char* gate : {"top1", "top2", "topk", "sigmoid_topk", "hash", "sinkhorn",
                           "expert_choice, params: {allow_future_leak: true}"}) {
    EXPECT_EQ(gate_warning(gate), "") << gate;
  }
}

TEST(Progress, ShowsPaceAndTheLimitThatComesFirst) {
  RunConfig config;
  config.run.steps = 100;
  config.run.tokens = 4000;  // reached at step 40
  Progress progress(config, false, 0, 0, 0);
  const std::string line = progress.line(record(20, 1.25), 10);
  EXPECT_NE(line.find("step 20/100"), std::string::npos) << line;
  EXPECT_NE(line.find("balance 1.25"), std::string::npos) << line;
  EXPECT_NE(line.find("ETA 0:10"), std::string::npos) << line;
}

TEST(Progress, WritesTimesAsClocks) {
  EXPECT_EQ(clock_text(75), "1:15");
  EXPECT_EQ(clock_text(4000), "1:06:40");
}

TEST(Printable, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(printable("a\tb\n"), "a\tb\n");
  EXPECT_EQ(printable("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(printable("\xc3\xa9\xc3"), "\xc3\xa9\\xc3");
}

}  // namespace
}  // namespace moiety
