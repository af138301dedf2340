// One forward and backward of an expert type over given choices, and what came out on the host.
#pragma once

#include <cstdint>

#include <moiety/expert_type.h>

#include "core/testing/expert_layout.h"
#include "core/testing/parameters.h"
#include "core/testing/workbench.h"

namespace moiety::testing {

/// The values that enter, on the host, so that a check can move them.
struct ExpertInputs {
  int64_t tokens = 0, experts = 0;
  std::vector<Choice> choices;
  std::vector<float> x, dout;  // [T, D]
  std::vector<float> weight;   // of each choice
  static ExpertInputs random(int64_t tokens, int64_t experts, uint32_t seed = 1);
};

struct ExpertCallOptions {
  SlotLayout layout = SlotLayout::kSorted;
  DType compute = DType::kF32;
  uint8_t poison = 0xff;
  bool with_weight = true, with_dweight = true;
};

struct ExpertCall {
  ExpertCall(const DeviceContext& context, const ExpertType& expert,
             ComponentParameters& parameters, const ExpertInputs& in,
             const ExpertCallOptions& options = {});

  void forward();
  void backward();
  void run() { forward(), backward(); }
  void launch();  ///< both, nothing read back
  /// y, dx and dweight of every choice, one after the other.
  std::vector<float> results();
  /// <dout, weighted sum of y>.
  double loss() const;
  /// Sum over a token's choices of dx, [T, D].
  std::vector<float> dtokens() const;
  /// Slots in no segment still hold what lay there.
  bool padding_untouched();

  const ExpertType& expert;
  ComponentParameters& parameters;
  const ExpertInputs& in;
  ExpertCallOptions options;
  SlotPlan plan;
  Workbench bench;
  ExpertBatch batch;
  TensorView dout, y, dx, dweight;
  // On the host, by choice:
  std::vector<float> y_choice, dx_choice, dweight_choice;

 private:
  std::vector<float> by_choice(const TensorView& slots);
};

}  // namespace moiety::testing
