// A gate of the tree on logits of the test's choice.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device/device.h"
#include "core/testing/gate_call.h"

namespace moiety {

class GateTest : public ::testing::Test {
 protected:
  static constexpr int64_t kTokens = 96, kExperts = 8;

  void make(const std::string& type, const OptionMap& options, int64_t layer = 0) {
    ModelDims dims = moiety::testing::kit_dims(kExperts);
    dims.layer = layer;
    gate_ = plugins_.create<GatingPolicy>(
        type, complete_options(plugins_.find(ComponentKind::kGating, type), options), dims);
    parameters_ = std::make_unique<moiety::testing::ComponentParameters>(context_, *gate_, false);
  }
  /// Normal logits, with `skew` more for each expert before the last.
  moiety::testing::GateInputs inputs(float skew = 0, uint32_t seed = 1) const {
    auto in = moiety::testing::GateInputs::random(kTokens, kExperts, /*padded=*/false, seed);
    for (size_t i = 0; i < in.logits.size(); ++i) {
      in.logits[i] -= skew * static_cast<float>(i % kExperts);
    }
    return in;
  }
  std::unique_ptr<moiety::testing::GateCall> run(const moiety::testing::GateInputs& in) {
    auto call = std::make_unique<moiety::testing::GateCall>(context_, *gate_, *parameters_, in);
    call->forward();
    return call;
  }
  /// Choices of each expert.
  static std::vector<float> load(const moiety::testing::GateCall& call) {
    std::vector<float> counts(kExperts);
    for (size_t i = 0; i < call.index.size(); ++i) {
      const int32_t named = choice(call.index[i]);
      if (named == kUnused) continue;
      const auto row = static_cast<int64_t>(i) / call.shape.slots;
      counts[static_cast<size_t>(call.token_major() ? named : row)] += 1;
    }
    return counts;
  }
  static float imbalance(const std::vector<float>& load) {
    float sum = 0;
    for (const float x : load) sum += x;
    return *std::max_element(load.begin(), load.end()) * kExperts / sum;
  }
  void end_step(const std::vector<float>& load, const StepState& step = {}) {
    moiety::testing::Workbench bench(context_);
    bench.set_step(step);
    const TensorView counts = bench.put(load, {kExperts});
    bench.call([&](Exec& exec) { gate_->end_step(exec, parameters_->params(), counts); });
  }

  DeviceContext context_{Device{}};
  PluginRegistry plugins_{{std::string(MOIETY_BINARY_DIR) + "/lib/moiety/plugins"}};
  std::shared_ptr<GatingPolicy> gate_;
  std::unique_ptr<moiety::testing::ComponentParameters> parameters_;
};

}  // namespace moiety
