// DeepSpeed's keys, schedules, composition of files, the reference configurations.
#include <cstdlib>

#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

RunConfig load(const std::filesystem::path& file, const std::vector<std::string>& overrides = {}) {
  PluginRegistry plugins = tree_plugins();
  return load_config(file, {overrides, 1}, plugins);
}

TEST(Load, DefaultsAreDeepSpeeds) {
  const RunConfig c = parse("");
  EXPECT_EQ(c.gradient_clipping, 1.0);
  EXPECT_EQ(c.precision, Precision::kF32);
  EXPECT_EQ(c.fp16.initial_scale_power, 16);
  EXPECT_EQ(c.fp16.loss_scale_window, 1000);
  EXPECT_EQ(c.fp16.hysteresis, 2);
  EXPECT_EQ(c.optimizer.type, "adamw");
  EXPECT_EQ(c.objective.type, "causal_lm");
  EXPECT_EQ(c.scheduler_type, "constant");
  EXPECT_EQ(c.run.directory, "runs/test");
}

TEST(Load, TheGuidesFileIsABase) {
  const RunConfig c = load(kSource / "configs/guide.yaml");
  EXPECT_EQ(c.train_batch_size, 256);
  EXPECT_EQ(c.precision, Precision::kF16);
  EXPECT_EQ(c.optimizer.type, "adam");
  EXPECT_TRUE(option<bool>(c.optimizer, "adam_w_mode"));
  EXPECT_EQ(c.base_lr, 1e-4);
  EXPECT_EQ(c.zero_stage, 1);
  EXPECT_EQ(c.moe.gate.type, "top1");
  EXPECT_EQ(option<double>(c.moe.gate, "capacity_factor"), 1.25);
  EXPECT_EQ(c.moe.num_experts, (std::vector<int64_t>{128, 128, 128}));
  EXPECT_EQ(c.moe.loss_coeff, 0.01);
}

TEST(Load, ReferenceConfigurations) {
  const RunConfig quick = load(kSource / "configs/quickstart.yaml");
  EXPECT_EQ(quick.moe.num_experts, (std::vector<int64_t>{8, 8}));
  EXPECT_EQ(option<int64_t>(quick.moe.gate, "k"), 2);
  const RunConfig big = load(kSource / "configs/gpt_350m_moe32.yaml");
  EXPECT_EQ(big.moe.layers.size(), 12U);
  EXPECT_EQ(big.micro_batch_size, 16);
  EXPECT_EQ(big.precision, Precision::kBF16);
}

TEST(Load, SchedulesOfMegatronAndNulls) {
  const char* text =
      "train_batch_size: 4\nrun: {steps: 70}\nscheduler: {type: Megatron, params: "
      "{lr_warmup_iters: 7}}\n";
  const auto count = [](const RunConfig& c, const char* name) {
    return std::get<int64_t>(*find_option(c.scheduler_options, name));
  };
  EXPECT_EQ(count(parse(text), "lr_decay_iters"), 70);
  const RunConfig samples =
      parse(text, {"~scheduler.params.lr_warmup_iters", "scheduler.params.lr_decay_samples=280"});
  EXPECT_EQ(count(samples, "lr_decay_iters"), 0);
  EXPECT_EQ(count(samples, "lr_decay_samples"), 280);
  const RunConfig cycle = parse(
      "scheduler: {type: OneCycle, params: {cycle_min_lr: 1, cycle_max_lr: 2, cycle_momentum: "
      "false, cycle_second_step_size: null, cycle_second_stair_count: null}}\n");
  EXPECT_EQ(count(cycle, "cycle_second_step_size"), 0);
  EXPECT_EQ(count(cycle, "cycle_second_stair_count"), -1);
}

TEST(Load, ParameterGroups) {
  const char* text =
      "optimizer:\n  type: adamw\n  groups: [{match: '*.experts.*', lr_scale: 0.5}]\n";
  const RunConfig c = parse(text, {"optimizer.groups[0].lr_scale=2", "optimizer.type=lion"});
  ASSERT_EQ(c.param_groups.size(), 1U);
  EXPECT_EQ(c.param_groups[0].lr_scale, 2);
  EXPECT_EQ(c.param_groups[0].where, "test.yaml:4:20: optimizer.groups[0].match");
  EXPECT_TRUE(parse(text, {"~optimizer.groups"}).param_groups.empty());
}

TEST(Load, ExamplesHaveNoMistakeAndNoWarning) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kSource / "configs/examples")) {
    if (entry.path().extension() != ".yaml") continue;
    const RunConfig c = load(entry.path());
    EXPECT_GT(c.run.steps, 0) << entry.path();
    EXPECT_TRUE(c.warnings.empty()) << entry.path() << ": " << c.warnings[0];
    ++files;
  }
  EXPECT_GE(files, 5U);
}

TEST(Load, Schedules) {
  const char* text = "optimizer: {type: sgd, params: {lr: 0.5}}\nrun: {steps: 70}\n";
  const RunConfig warm = parse(text, {"scheduler.type=WarmupLR"});
  EXPECT_EQ(std::get<double>(*find_option(warm.scheduler_options, "warmup_max_lr")), 0.5);
  EXPECT_EQ(std::get<int64_t>(*find_option(warm.scheduler_options, "warmup_num_steps")), 1000);
  EXPECT_EQ(std::get<std::string>(*find_option(warm.scheduler_options, "warmup_type")), "log");
  const RunConfig decay = parse(text, {"scheduler.type=warmupdecaylr"});
  EXPECT_EQ(decay.scheduler_type, "WarmupDecayLR");
  EXPECT_EQ(std::get<double>(*find_option(decay.scheduler_options, "warmup_max_lr")), 0.001);
  EXPECT_EQ(std::get<int64_t>(*find_option(decay.scheduler_options, "total_num_steps")), 70);
  const RunConfig cosine = parse(text, {"scheduler.type=WarmupCosineLR"});
  EXPECT_EQ(std::get<double>(*find_option(cosine.scheduler_options, "cos_min_ratio")), 1e-4);
}

TEST(Load, WhatChangesNothingIsListed) {
  const RunConfig c = parse(
      "run: {steps: 1}\nprescale_gradients: true\nsteps_per_print: null\nwandb: {enabled: false}\n"
      "zero_optimization: {stage: 1, overlap_comm: null, reduce_bucket_size: 5e8}\n"
      "optimizer: {type: Adam, params: {torch_adam: false}}\n");
  EXPECT_EQ(c.accepted.size(), 3U);
  EXPECT_TRUE(c.warnings.empty());
}

TEST(Load, LossReduction) {
  EXPECT_FALSE(parse("").run.batch_mean_of_means);
  EXPECT_TRUE(parse("run: {loss_reduction: micro_batch}").run.batch_mean_of_means);
  EXPECT_EQ(parse("moe: {balance_scope: model}").moe.balance_scope, BalanceScope::kModel);
  EXPECT_TRUE(parse("moe: {expert_initialization: identical}").moe.identical_experts);
}

TEST(Load, PluginsAreRelativeToTheFile) {
  const auto folder = std::filesystem::temp_directory_path() / "moiety_config_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto library =
      std::filesystem::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins/moiety_gating_topk.so";
  std::filesystem::copy_file(library, folder / "gate.so");
  PluginRegistry plugins = tree_plugins();
  const auto relative = std::filesystem::relative(folder / "gate.so").string();
  const RunConfig c = parse("", {"plugins=[" + relative + "]"});
  ASSERT_EQ(c.plugins.size(), 1U);
  EXPECT_TRUE(c.plugins[0].is_absolute());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace moiety
