// Learning rates and loss scales against DeepSpeed's rules and recorded traces.
#include "core/base/schedule.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "core/base/json.h"
#include "core/base/loss_scaler.h"

namespace moiety {
namespace {

void expect_rates(const Schedule& schedule, int64_t first_t, const std::vector<double>& rates) {
  for (size_t i = 0; i < rates.size(); ++i) {
    const int64_t t = first_t + static_cast<int64_t>(i);
    EXPECT_NEAR(schedule.at(t + 2), rates[i], 1e-9) << "t = " << t;
  }
}

TEST(Schedule, WarmupWithLogarithm) {
  Schedule s{.kind = ScheduleKind::kWarmup, .max = 1e-3, .warmup = 10};
  expect_rates(s, -1, {0, 0, 3.01029996e-4});
  expect_rates(s, 5, {7.7815125e-4});
  expect_rates(s, 9, {1e-3, 1e-3, 1e-3});
}

TEST(Schedule, WarmupThenLinearDecay) {
  Schedule s{.kind = ScheduleKind::kWarmupDecay, .max = 1e-3, .warmup = 4, .total = 10};
  s.log_warmup = false;
  expect_rates(s, -1,
               {0, 0, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 8.33333333e-4, 6.66666667e-4, 5e-4, 3.33333333e-4,
                1.66666667e-4, 0, 0, 0});
}

TEST(Schedule, WarmupThenCosine) {
  Schedule s{.kind = ScheduleKind::kWarmupCosine, .cos_min = 1e-4, .warmup = 4, .total = 10};
  s.log_warmup = false;
  expect_rates(s, -1, {0, 0});
  expect_rates(
      s, 3,
      {7.5e-4, 9.33019401e-4, 7.50025e-4, 5.0005e-4, 2.50075e-4, 6.70805994e-5, 1e-7, 1e-7, 1e-7});
}

TEST(Schedule, Constant) {
  const Schedule s{.base = 0.25};
  for (const int64_t update : {1, 2, 1000000}) EXPECT_EQ(s.at(update), 0.25);
}

std::vector<double> scales_of(LossScaler scaler, const std::vector<int>& overflows) {
  std::vector<double> scales;
  for (const int overflow : overflows) {
    scaler.update(overflow != 0);
    scales.push_back(scaler.scale / 1024);
  }
  return scales;
}

TEST(LossScaler, FollowsTheHysteresisRules) {
  const std::vector<int> overflows = {1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0,
                                      0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0};
  LossScaler s{.scale = 65536, .window = 4, .dynamic = true};
  EXPECT_EQ(scales_of(s, overflows),
            (std::vector<double>{64, 64, 32, 16, 16, 16, 16, 16, 32, 32, 32,
                                 32, 64, 64, 64, 32, 16, 16, 16, 16, 16, 32}));
  s.consecutive_hysteresis = true;
  EXPECT_EQ(scales_of(s, overflows),
            (std::vector<double>{64, 64,  64,  32,  32,  32, 32, 32, 64, 64, 64,
                                 64, 128, 128, 128, 128, 64, 64, 64, 64, 64, 128}));
}

TEST(LossScaler, StaticScaleStays) {
  LossScaler s{.scale = 128};
  for (const bool overflow : {true, true, false}) s.update(overflow);
  EXPECT_EQ(s.scale, 128);
  EXPECT_EQ(s.exhausted, 0);
}

TEST(LossScaler, EqualsTheRecordedTraces) {
  std::ifstream file(MOIETY_SOURCE_DIR "/tests/golden/deepspeed/dynamic_loss_scaler.jsonl");
  ASSERT_TRUE(file.is_open());
  int traces = 0;
  for (std::string line; std::getline(file, line);) {
    const Json trace = Json::parse(line);
    if (trace.at("class").string() != "DynamicLossScaler") continue;
    LossScaler s{.scale = std::exp2(trace.at("initial_scale_power").number()), .dynamic = true};
    s.window = trace.at("loss_scale_window").integer();
    s.hysteresis = s.hysteresis_left = trace.at("hysteresis").integer();
    s.min_scale = trace.at("min_loss_scale").number();
    s.raise_at_min = trace.at("raise_error_at_min_scale").boolean();
    s.consecutive_hysteresis = trace.at("consecutive_hysteresis").boolean();
    const auto& overflow = trace.at("overflow").array();
    const auto& scale = trace.at("loss_scale").array();
    for (size_t i = 0; i < overflow.size(); ++i) {
      const bool flag = overflow[i].is_bool() ? overflow[i].boolean() : overflow[i].integer() != 0;
      s.update(flag);
      if (i >= scale.size()) break;  // where the reference gave up
      ASSERT_EQ(s.scale, scale[i].number()) << "trace " << traces << ", update " << i;
      ASSERT_EQ(s.hysteresis_left, trace.at("cur_hysteresis").array()[i].integer());
      ASSERT_EQ(s.last_overflow, trace.at("last_overflow_iter").array()[i].integer());
    }
    EXPECT_EQ(s.exhausted != 0, !trace.at("raised").is_null()) << "trace " << traces;
    ++traces;
  }
  EXPECT_EQ(traces, 48);
}

}  // namespace
}  // namespace moiety
