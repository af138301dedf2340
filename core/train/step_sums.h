// The statistics of a step in one piece of device memory, and what they say once read.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/model.h"
#include "core/ops/step_ops.h"

namespace moiety {

/// Sizes of the statistics: Lm MoE layers, of which the largest has Emax experts, M metrics.
struct SumsShape {
  int64_t moe_layers = 0, most_experts = 0, metrics = 0;
  std::vector<int64_t> experts;  // of each MoE layer
};
MOIETY_API SumsShape sums_shape(const Model& model, const Objective& objective);

/// StepSums over a buffer of f32.
class MOIETY_API StepSumsBuffer {
 public:
  StepSumsBuffer(const DeviceContext& context, const SumsShape& shape);
  const StepSums& sums() const { return sums_; }
  void zero(const DeviceContext& context) const { context.zero(buffer_.data(), buffer_.bytes()); }
  void* data() const { return buffer_.data(); }
  size_t bytes() const { return buffer_.bytes(); }

 private:
  Buffer buffer_;
  StepSums sums_;
};

/// Routing of one MoE layer over a train batch or an evaluation.
struct LayerLoad {
  // Raw losses, mean over the micro-batches; balance_sequence and balance_global of the batch.
  double aux = 0, balance = 0, z = 0;
  double balance_sequence = 0, balance_global = 0, importance = 0, load = 0;  // 0 where off
  double entropy = 0;               // of the router's softmax, nats a token
  std::vector<double> chosen;       // share of all choices, of each expert; before dropping
  std::vector<double> dropped;      // share of all choices
  std::vector<double> probability;  // mean over the tokens
  double imbalance = 1;             // largest share over the mean share
  double drop_rate = 0;
  int64_t dead = 0;  // experts below the configured share
};

struct StepNumbers {
  double lm_loss = 0;        // of the objective
  double balance_model = 0;  // raw, mean over the micro-batches; 0 where off
  std::vector<double> metrics;
  std::vector<LayerLoad> layers;
};

/// From a host copy of StepSumsBuffer. An expert is dead below `dead_share` / E of the choices, or
/// without any.
MOIETY_API StepNumbers read_sums(const float* host, const SumsShape& shape, int64_t micro_batches,
                                 double dead_share);

/// Objective plus weighted auxiliary losses: what backward differentiates.
MOIETY_API double total_loss(const StepNumbers& numbers, const MoeConfig& moe);

}  // namespace moiety
