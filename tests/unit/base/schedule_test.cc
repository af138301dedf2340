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

TEST(Schedule, OneCycleAndItsDecay) {
  Schedule s{.kind = ScheduleKind::kOneCycle};
  s.cycle = {
      .min = 1e-4, .max = 1e-3, .first = 4, .second = 4, .decay_rate = 0.5, .decay_steps = 2};
  expect_rates(s, -1,
               {1e-4, 3.25e-4, 5.5e-4, 7.75e-4, 1e-3, 7.75e-4, 5.5e-4, 3.25e-4, 1e-4, 8e-5,
                6.66666667e-5, 5.71428571e-5, 5e-5});
  s.cycle.decay_steps = 0;
  expect_rates(s, 7, {1e-4, 1e-4, 1e-4});
  s.cycle.first_stairs = 2;  // heights 0, 0, 1/2, 1/2, 1
  expect_rates(s, -1, {1e-4, 1e-4, 5.5e-4, 5.5e-4, 1e-3, 7.75e-4});
}

TEST(Schedule, RangeTest) {
  Schedule s{.kind = ScheduleKind::kRangeTest};
  s.range = {.min = 1e-3, .steps = 5, .rate = 1};
  expect_rates(s, 0, {1.2e-3, 1.4e-3, 1.6e-3, 1.8e-3, 2e-3});
  s.range.staircase = true;
  expect_rates(s, 3, {1e-3, 2e-3, 2e-3, 2e-3, 2e-3, 2e-3, 3e-3});
}

void expect_updates(const MegatronSchedule& s, const std::vector<double>& rates) {
  for (size_t i = 0; i < rates.size(); ++i) {
    EXPECT_NEAR(s.at(static_cast<int64_t>(i) + 1), rates[i], 1e-12) << "update " << i + 1;
  }
}

MegatronSchedule megatron(MegatronStyle style) {
  MegatronSchedule s{.style = style, .peak = 1e-3, .min = 1e-5};
  s.per_update = 20, s.warmup = 40, s.decay = 200;
  return s;
}

TEST(Schedule, MegatronCosineInSamples) {
  expect_updates(megatron(MegatronStyle::kCosine),
                 {0, 5e-4, 1e-3, 9.623203691e-4, 8.550178567e-4, 6.944282990e-4, 5.05e-4,
                  3.155717010e-4, 1.549821433e-4, 4.767963091e-5, 1e-5, 1e-5});
}

TEST(Schedule, MegatronStyles) {
  expect_updates(megatron(MegatronStyle::kConstant), {0, 5e-4, 1e-3, 1e-3, 1e-3});
  expect_updates(megatron(MegatronStyle::kLinear),
                 {0, 5e-4, 1e-3, 8.7625e-4, 7.525e-4, 6.2875e-4, 5.05e-4, 3.8125e-4, 2.575e-4,
                  1.3375e-4, 1e-5, 1e-5});
  MegatronSchedule root = megatron(MegatronStyle::kInverseSquareRoot);
  expect_updates(root, {0, 5e-4, 1e-3, 1e-3 * std::sqrt(40. / 60), 1e-3 * std::sqrt(40. / 80)});
  root.warmup = 0;  // by samples: sqrt(1 / n)
  expect_updates(root, {1e-3, 1e-3 * std::sqrt(1. / 20), 1e-3 * std::sqrt(1. / 40)});
  root.min = 5e-4;
  expect_updates(root, {1e-3, 5e-4});
}

TEST(Schedule, MegatronWarmupFromARateAndLate) {
  MegatronSchedule s = megatron(MegatronStyle::kLinear);
  s.init = 2e-4;
  expect_updates(s, {2e-4, 6e-4, 1e-3});
  s.lag = 1;  // tokens are counted after the schedule's step
  expect_updates(s, {2e-4, 2e-4, 6e-4, 1e-3, 8.7625e-4});
}

TEST(Schedule, WarmupStableDecay) {
  MegatronSchedule s = megatron(MegatronStyle::kWsd);
  s.last = 80;  // from sample 120 on: r = 1/4, 1/2, 3/4, 1 at updates 8 to 11
  const auto expect_fall = [&s](WsdDecay style, const std::vector<double>& shares) {
    s.wsd_style = style;
    expect_updates(s, {0, 5e-4, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3});
    for (size_t i = 0; i < shares.size(); ++i) {
      EXPECT_NEAR(s.at(8 + static_cast<int64_t>(i)), 1e-5 + shares[i] * 9.9e-4, 1e-9);
    }
    EXPECT_EQ(s.at(12), 1e-5);
  };
  expect_fall(WsdDecay::kLinear, {0.75, 0.5, 0.25, 0});
  expect_fall(WsdDecay::kCosine, {0.853553391, 0.5, 0.146446609, 0});
  expect_fall(WsdDecay::kExponential, {0.681792831, 0.414213562, 0.189207115, 0});
  expect_fall(WsdDecay::kMinusSqrt, {0.5, 0.292893219, 0.133974596, 0});
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

TEST(LossScaler, StaysAtItsMinimumWhereThatIsNoError) {
  LossScaler s{.scale = 4, .hysteresis_left = 1, .hysteresis = 1, .dynamic = true};
  s.raise_at_min = false;
  for (const double scale : {2, 1, 1, 1}) {
    s.update(true);
    EXPECT_EQ(s.scale, scale);
  }
  EXPECT_EQ(s.exhausted, 0);
  EXPECT_EQ(s.last_overflow, 3);
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
