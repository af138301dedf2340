// From `scheduler: {type, params}` to the struct that the device computes with: units, defaults.
#include "core/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moiety {
namespace {

RunConfig config_of(const std::string& type, OptionMap options) {
  RunConfig config;
  config.base_lr = 1e-3;
  config.train_batch_size = 20;
  config.model.sequence_length = 8;
  config.scheduler_type = type;
  config.scheduler_options = std::move(options);
  return config;
}

TEST(ScheduleConfig, IterationsAndSamplesAreTheSameProgress) {
  const std::string style = "cosine";
  const Schedule samples =
      make_schedule(config_of("Megatron", {{"lr_decay_style", style},
                                           {"min_lr", 1e-5},
                                           {"lr_decay_samples", int64_t{200}},
                                           {"lr_warmup_samples", int64_t{40}}}));
  const Schedule iterations = make_schedule(config_of("Megatron", {{"lr_decay_style", style},
                                                                   {"min_lr", 1e-5},
                                                                   {"lr_decay_iters", int64_t{10}},
                                                                   {"lr_warmup_fraction", 0.2}}));
  const std::vector<double> rates = {0, 5e-4, 1e-3, 9.62320369e-4, 8.55017857e-4, 6.94428299e-4};
  for (int64_t update = 1; update < 14; ++update) {
    EXPECT_NEAR(iterations.at(update), samples.at(update), 1e-15) << update;
  }
  for (size_t i = 0; i < rates.size(); ++i) {
    EXPECT_NEAR(samples.at(static_cast<int64_t>(i) + 1), rates[i], 1e-11);
  }
}

TEST(ScheduleConfig, TokensAreOneIterationLate) {
  const Schedule samples = make_schedule(config_of(
      "Megatron", {{"lr_decay_samples", int64_t{200}}, {"lr_warmup_samples", int64_t{40}}}));
  const Schedule tokens = make_schedule(config_of(
      "Megatron", {{"lr_decay_tokens", int64_t{1600}}, {"lr_warmup_tokens", int64_t{320}}}));
  EXPECT_EQ(tokens.at(1), 0);
  for (int64_t update = 1; update < 14; ++update) {
    EXPECT_NEAR(tokens.at(update + 1), samples.at(update), 1e-15) << update;
  }
}

TEST(ScheduleConfig, InverseSquareRootCountsSamples) {
  const Schedule s =
      make_schedule(config_of("Megatron", {{"lr_decay_style", std::string("inverse-square-root")},
                                           {"lr_decay_iters", int64_t{1000}}}));
  EXPECT_NEAR(s.at(6), 1e-3 / std::sqrt(100.), 1e-15);
}

TEST(ScheduleConfig, WsdWithItsDecay) {
  const Schedule s =
      make_schedule(config_of("Megatron", {{"lr_decay_style", std::string("WSD")},
                                           {"lr_decay_iters", int64_t{10}},
                                           {"lr_wsd_decay_style", std::string("minus_sqrt")},
                                           {"lr_wsd_decay_iters", int64_t{4}}}));
  EXPECT_NEAR(s.at(7), 1e-3, 1e-15);
  EXPECT_NEAR(s.at(8), 0.5e-3, 1e-15);
  EXPECT_NEAR(s.at(11), 0, 1e-15);
}

TEST(ScheduleConfig, OneCycleFallsAsItRose) {
  const Schedule s = make_schedule(config_of("OneCycle", {{"cycle_min_lr", 1e-4},
                                                          {"cycle_max_lr", 1e-3},
                                                          {"cycle_first_step_size", int64_t{4}},
                                                          {"cycle_second_step_size", int64_t{0}},
                                                          {"cycle_first_stair_count", int64_t{0}},
                                                          {"cycle_second_stair_count", int64_t{-1}},
                                                          {"cycle_momentum", false}}));
  EXPECT_NEAR(s.at(5), 1e-3, 1e-15);
  EXPECT_NEAR(s.at(9), 1e-4, 1e-15);
  EXPECT_NEAR(s.at(7), 5.5e-4, 1e-15);
}

TEST(ScheduleConfig, OneCycleMovesTheBetasAgainstTheRate) {
  const Schedule s = make_schedule(config_of("OneCycle", {{"cycle_min_lr", 1e-4},
                                                          {"cycle_max_lr", 1e-3},
                                                          {"cycle_first_step_size", int64_t{4}},
                                                          {"cycle_momentum", true},
                                                          {"decay_step_size", int64_t{10}},
                                                          {"decay_mom_rate", 0.5}}));
  ASSERT_TRUE(s.moves_betas());
  EXPECT_NEAR(s.first_beta(1), 0.8, 1e-15);  // DeepSpeed's scheduler has not stepped yet
  EXPECT_NEAR(s.first_beta(2), 0.875, 1e-15);
  EXPECT_NEAR(s.first_beta(5), 0.8, 1e-15);
  EXPECT_NEAR(s.first_beta(7), 0.85, 1e-15);
  EXPECT_NEAR(s.first_beta(9), 0.9, 1e-15);
  EXPECT_NEAR(s.first_beta(11), 0.9 * (1 + 0.5 * 0.2), 1e-15);
  EXPECT_LT(s.first_beta(1000), 1);
}

TEST(ScheduleConfig, AnUnknownTypeIsNamed) {
  EXPECT_THROW(make_schedule(config_of("Cosine", {})), ConfigError);
}

TEST(LossScalerConfig, AResumedRunFollowsTheConfigurationFromTheSavedScale) {
  RunConfig config;
  config.precision = Precision::kF16;
  LossScaler saved = make_loss_scaler(config);
  for (int i = 0; i < 3; ++i) saved.update(true);
  const LossScaler same = resumed_loss_scaler(config, saved);
  EXPECT_EQ(same.scale, 16384);
  EXPECT_EQ(same.iteration, 3);
  EXPECT_EQ(same.last_overflow, 2);
  EXPECT_EQ(same.hysteresis_left, 1);
  EXPECT_TRUE(same.raise_at_min);

  config.fp16.raise_error_at_min_scale = false;
  config.fp16.loss_scale_window = 7;
  config.fp16.min_loss_scale = 32768;
  const LossScaler changed = resumed_loss_scaler(config, saved);
  EXPECT_FALSE(changed.raise_at_min);
  EXPECT_EQ(changed.window, 7);
  EXPECT_EQ(changed.scale, 32768);

  config.fp16.loss_scale = 128;
  EXPECT_EQ(resumed_loss_scaler(config, saved).scale, 128);
}

}  // namespace
}  // namespace moiety
