// Models from YAML with the built plugins, on the CPU.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/config/load.h"
#include "core/device/exec_impl.h"
#include "core/model/model.h"
#include "core/ops/step_ops.h"
#include "core/plugin/registry.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety {

class FamilyTest : public ::testing::Test {
 protected:
  RunConfig parse(const std::string& yaml, std::vector<std::string> overrides = {}) {
    return parse_config(yaml, "test.yaml", {std::move(overrides), 1}, plugins_);
  }

  std::unique_ptr<Model> build(const RunConfig& config) {
    std::unique_ptr<Model> model = make_model(config, plugins_, context_);
    if (!config.model.init_from.checkpoint.empty()) {
      initialize_from(config.model.init_from, config.run.seed, model->parameters());
    }
    return model;
  }

  void save(const RunConfig& config, Model& model, const std::filesystem::path& file) {
    CheckpointInfo info;
    info.resolved_yaml = config.resolved_yaml;
    save_checkpoint(file, model.parameters(), info);
  }

  /// Logits of two sequences of six fixed tokens.
  std::vector<float> logits(const RunConfig& config, Model& model) {
    Arena memory(context_), scratch(context_);
    const ops::StepControl control;
    const RowMap rows;
    Exec::Impl impl;
    impl.context = &context_, impl.scratch = &scratch;
    impl.step = &control.step, impl.rows = &rows;
    Exec exec(&impl);
    const int64_t vocab = config.model.vocab_size;
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 12; ++i) ids.push_back((i * 7 + 3) % static_cast<int32_t>(vocab));
    const TensorView out = memory.make(DType::kF32, {12, vocab});
    model.logits(exec, view_of(ids.data(), DType::kI32, {2, 6}), out);
    const float* values = out.data<float>();
    return {values, values + out.numel()};
  }

  TemporaryFolder folder_;
  DeviceContext context_{Device{}};
  PluginRegistry plugins_{{std::filesystem::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins"}};
};

}  // namespace moiety
