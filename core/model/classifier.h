// A classifier of images: convolutions, dense layers with ReLU, MoE layers one after the other, and
// an output layer. The shape of DeepSpeed's CIFAR-10 example (DeepSpeedExamples,
// training/cifar/cifar10_deepspeed.py, class Net): with MoE layers it has a layer more than
// without, since the experts keep the width. Without hidden layers it is a linear classifier.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/model/convolution.h"
#include "core/model/model.h"
#include "core/model/moe_parts.h"

namespace moiety {

class MOIETY_API Classifier final : public Model {
 public:
  /// Declares, freezes, allocates and initialises all parameters on `context`. Parameters:
  /// "convolutions.N.*", "dense.N.*", "layers.N.moe.*", "output.*". Throws ConfigError for shapes
  /// that do not fit.
  Classifier(const RunConfig& config, const MoeFactory& factory, DeviceContext& context,
             ModelMemory memory = ModelMemory::kAllocated);

  ParameterTable& parameters() override { return table_; }
  int64_t moe_layers() const override { return static_cast<int64_t>(moe_.size()); }
  int64_t most_experts() const override;
  std::vector<int64_t> moe_layer_numbers() const override { return moe_config_.layers; }
  std::vector<int64_t> experts_of_layers() const override;
  void forward_backward(Exec& exec, const MicroBatch& batch, const Objective& objective,
                        int64_t micro_batches, const StepSums& sums) override;
  void evaluate(Exec& exec, const MicroBatch& batch, const Objective& objective,
                const StepSums& sums) override;
  TensorView features(Exec& exec, const MicroBatch& batch, bool training) override;
  void feature_logits(Exec& exec, ConstTensorView features, TensorView logits) override;
  /// Throws Error: there are no tokens to go on with.
  void logits(Exec& exec, ConstTensorView tokens, TensorView logits) override;
  void end_step(Exec& exec, const StepSums& sums) override;
  std::vector<const Arena*> activation_memory() const override { return {&memory_}; }
  double flops_per_token() const override;  ///< of an image
  std::vector<double> flops_per_choice() const override;

 private:
  struct Pass;  // one micro-batch in flight
  void add_moe_layers(const MoeFactory& factory, int64_t width);
  TensorView forward(Exec& exec, Pass& pass, const MicroBatch& batch, const StepSums& sums);
  /// Loss of features [B, D] into sums; with dx its gradient and the output layer's.
  void loss(Exec& exec, const MicroBatch& batch, const Objective& objective, ConstTensorView x,
            const StepSums& sums, TensorView dx);
  void backward(Exec& exec, Pass& pass, const MoeLossWeights& weights, TensorView dx);

  ModelConfig config_;
  MoeConfig moe_config_;
  ParameterTable table_;
  Arena memory_;  // of the micro-batch in flight
  std::vector<Convolution> convolutions_;
  std::vector<Linear> dense_;
  std::vector<int64_t> widths_;  // of the input of each dense layer, then of the output layer
  std::vector<std::unique_ptr<MoeLayer>> moe_;
  std::unique_ptr<Linear> output_;
};

}  // namespace moiety
