// A small model with its data and a step, for tests of training on both devices.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/load.h"
#include "core/train/batch_loader.h"
#include "core/train/session.h"
#include "core/train/step_runner.h"

namespace moiety {

inline constexpr const char* kConfig = R"(
schema_version: 1
run: {steps: 1, device: cpu, threads: 2}
model: {layers: 2, hidden: 32, heads: 2, ffn_hidden: 64, vocab_size: 32, sequence_length: 16}
moe:
  num_experts: 4
  expert_interval: 1
  gate: {type: topk, params: {k: 1, drop_tokens: false}}
data: {type: synthetic, params: {branching: 2}}
optimizer: {type: adamw, params: {lr: 3e-3}}
)";

/// A model, its data and a step, from kConfig and overrides.
struct SmallRun {
  explicit SmallRun(std::vector<std::string> overrides) {
    LoadOptions options;
    options.overrides = std::move(overrides);
    config = parse_config(kConfig, "step_test", options, registry);
    session = make_session(config, registry);
    layout.emplace(train_shape(config), *session.data, config.model.vocab_size);
    BatchLoader::Options order;
    order.prefetch = false;
    loader.emplace(*session.data, *layout, order);
    runner.emplace(StepRunner::Parts{session.context.get(), session.model.get(),
                                     session.objective.get(), session.optimizer.get(), &*layout},
                   config);
  }
  void steps(int count, bool graph = false) {
    for (int i = 0; i < count; ++i) {
      loader->next(*session.context, runner->batch());
      runner->run(graph);
    }
  }
  double loss() const {
    float loss = 0;
    session.context->copy(&loss, runner->sums().sums().loss.ptr, sizeof loss);
    session.context->synchronize();
    return static_cast<double>(loss);
  }
  ParameterTable& table() { return session.model->parameters(); }
  std::vector<float> weights() {
    std::vector<float> all;
    for (const TableEntry& entry : table().entries()) {
      const std::vector<float> values = table().read(entry);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  PluginRegistry registry{PluginRegistry::default_folders(
      {std::filesystem::path(MOIETY_BINARY_DIR) / "lib" / "moiety" / "plugins"})};
  RunConfig config;
  Session session;
  std::optional<BatchLayout> layout;
  std::optional<BatchLoader> loader;
  std::optional<StepRunner> runner;
};

/// The parameter is the device.
class DeviceStep : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (device() != "cuda" || cuda_unavailable().empty()) return;
    const char* required = std::getenv("MOIETY_REQUIRE_GPU");
    if (required != nullptr && std::string(required) == "1") FAIL() << cuda_unavailable();
    GTEST_SKIP() << cuda_unavailable();
  }
  static std::string device() { return GetParam(); }
  /// bf16, on a batch of one micro-batch, so that the options that save memory are allowed.
  static std::vector<std::string> low_precision(std::vector<std::string> more) {
    for (const char* common :
         {"bf16.enabled=true", "train_micro_batch_size_per_gpu=8", "model.dropout=0.1",
          "moe.use_residual=true", "gradient_clipping=0.5", "run.deterministic=true"}) {
      more.emplace_back(common);
    }
    more.push_back("run.device=" + device());
    return more;
  }
};

}  // namespace moiety
