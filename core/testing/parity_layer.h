// An MoE layer of the trainer with given weights, to compare with a reference block.
#pragma once

#include <cstdint>
#include <optional>

#include "core/model/moe_layer.h"
#include "core/testing/parity_suite.h"

namespace moiety::testing {

struct ParityLayerSizes {
  int64_t model = 0, hidden = 0, experts = 0;
  int64_t added = 0;  // width of a dense branch that is added to the routed part; 0 = none
};

class ParityLayer {
 public:
  ParityLayer(Parity& parity, ParityBench& bench, const ComponentChoice& gate,
              const ComponentChoice& expert, const ParityLayerSizes& sizes);

  /// Overwrites a parameter by its name within the layer: "router.weight".
  void set(const std::string& name, const std::vector<float>& values);
  std::vector<float> gradient(const std::string& name);

  /// x [T, D]; mask of T bytes or empty.
  void forward(const std::vector<float>& x, const std::vector<uint8_t>& mask, int64_t batch);
  void backward(const MoeLossWeights& weights, const std::vector<float>& dout);

  const RoutingPlan& plan() const { return call_->plan; }
  const PlanShape& shape() const { return call_->shape; }
  std::vector<float> out, dx;
  std::vector<float> chosen;       // [E], before dropping
  std::vector<float> aux, z_loss;  // [1]

 private:
  Parameter::Impl& parameter(const std::string& name);
  ParityBench& bench_;
  ParityLayerSizes sizes_;
  ParameterTable table_;
  std::unique_ptr<MoeLayer> layer_;
  std::optional<AllRows> all_;
  std::optional<MoeCall> call_;
};

/// A layer whose router hands x on as the logits and whose expert e answers with the e-th unit
/// vector: its output is the matrix of combine weights, and dx is the logits' gradient.
class LogitsLayer : public ParityLayer {
 public:
  LogitsLayer(Parity& parity, ParityBench& bench, const ComponentChoice& gate, int64_t experts);
};

}  // namespace moiety::testing
