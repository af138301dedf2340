// What a person is told: warnings of imbalance, the progress line, printable samples.
#include <gtest/gtest.h>

#include "core/config/load.h"
#include "core/train/balance_watch.h"
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
