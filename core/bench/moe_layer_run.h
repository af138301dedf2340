// A MoE layer outside a model, with parameters and memory of its own.
#pragma once

#include <memory>

#include "core/bench/ground.h"
#include "core/config/run_config.h"
#include "core/model/moe_layer.h"
#include "core/model/parameter_table.h"
#include "core/plugin/registry.h"

namespace moiety::bench {

class MoeLayerRun {
 public:
  /// The first MoE layer of `config`, with random weights; weights and gradients as `form` says.
  MoeLayerRun(const RunConfig& config, PluginRegistry& plugins, DeviceContext& context,
              const TableForm& form);

  /// Forward and backward of x [T, D]: writes out, dx [T, D] and the gradients.
  void run(ConstTensorView x, ConstTensorView dout, TensorView out, TensorView dx);
  /// Choices that the last run's experts computed.
  double kept();
  double forward_flops(int64_t tokens, double choices) const;
  /// Copies every parameter of `from`, which may be of another precision.
  void take_weights(MoeLayerRun& from);

  Ground& ground() { return ground_; }
  ParameterTable& table() { return table_; }
  int64_t width() const { return layer_->dims().model; }

 private:
  Ground ground_;
  Arena kept_;
  ParameterTable table_;
  std::unique_ptr<MoeLayer> layer_;
  std::unique_ptr<MoeCall> call_;
};

}  // namespace moiety::bench
