// One forward and backward of a gating policy on random logits, and what came out on the host.
#pragma once

#include <cstdint>

#include <moiety/gating_policy.h>

#include "core/testing/parameters.h"
#include "core/testing/workbench.h"

namespace moiety::testing {

/// The values that enter, on the host, so that a check can move them.
struct MOIETY_API GateInputs {
  int64_t tokens = 0, experts = 0, batch = 1;
  std::vector<float> logits, x;  // [T, E], [T, D]
  std::vector<uint8_t> mask;     // [T], or empty
  std::vector<int32_t> ids;      // [T], of tokens
  int64_t first_row = 0;
  bool training = true;

  /// Normal logits; with `padded` every fifth token is padding.
  static GateInputs random(int64_t tokens, int64_t experts, bool padded = true, uint32_t seed = 1);
  /// Rows [begin, begin + count) as a call of their own.
  GateInputs part(int64_t begin, int64_t count) const;
  bool used(int64_t t) const { return mask.empty() || mask[static_cast<size_t>(t)] != 0; }
};

/// What enters backward; the sizes follow the plan. Factors of 0 leave a source out.
struct GateUpstream {
  float weight = 1, aux = 1, scores = 1;
};

struct MOIETY_API GateCall {
  GateCall(const DeviceContext& context, const GatingPolicy& gate, ComponentParameters& parameters,
           const GateInputs& in, uint8_t poison = 0xff);

  void forward();
  void backward(const GateUpstream& upstream = {});
  /// Launches alone, nothing read back: for capture and timing. `prepare` has made the gradients.
  void prepare(const GateUpstream& upstream = {});
  void launch_forward();
  void launch_backward();
  void read();
  std::vector<float> results();  ///< every output that is not ignored, one after the other

  /// <upstream, outputs> of the last forward, kept choices alone.
  double loss(const GateUpstream& upstream = {}) const;
  bool token_major() const { return shape.layout == PlanLayout::kTokenMajor; }
  /// The same choices, row by row as sets, so that a derivative across both plans exists.
  bool same_choices(const GateCall& other) const;

  const GatingPolicy& gate;
  ComponentParameters& parameters;
  GateInputs in;
  Workbench bench;
  PlanShape shape;
  GatingInputs inputs;
  RoutingPlan plan;
  RoutingGrad grad;
  GatingGrad out;
  // On the host after forward() and backward():
  std::vector<int32_t> index, position;
  std::vector<float> weight, scores, aux, metrics, dlogits, dx;

 private:
  std::vector<float> weight_upstream(const GateUpstream& upstream) const;
};

}  // namespace moiety::testing
