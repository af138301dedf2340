// Two tensors under an optimizer, with fixed gradients.
#pragma once

#include <cstdint>
#include <deque>

#include <moiety/optimizer.h>

#include "core/testing/numeric.h"
#include "core/testing/workbench.h"

namespace moiety::testing {

struct TrainingOptions {
  std::vector<int64_t> shape = {6, 5};
  DType value = DType::kF32;             // bf16 and f16 come with an f32 master
  bool split = false;                    // bf16 with the bits below it instead
  DType grad = DType::kF32;              // or the dtype of value; then rounded
  DType rounded_gradient = DType::kF32;  // what f32 gradients are rounded to
  bool shards = false;                   // each tensor as two slices
  float lr_scale = 1, decay_scale = 1;
  float gradient = 1;  // factor on the normal gradients
};

class Training {
 public:
  Training(const DeviceContext& context, const Optimizer& optimizer,
           const TrainingOptions& options = {});

  StepState state{.lr = 0.1f};  // goes to the device with every bind() and step()
  void bind(Optimizer& optimizer);
  /// One update; `state.update` then counts on.
  void step(const Optimizer& optimizer);
  void launch(const Optimizer& optimizer);  ///< step() alone, nothing else on the stream
  /// Copies every tensor and state to other addresses; the old ones are poisoned.
  void move();
  /// Sets the gradients to the values: the slope of |w|^2 / 2.
  void slope();

  std::vector<float> weights();  ///< masters, joined where split, or the values without any
  std::vector<float> values();   ///< what the model reads
  Workbench bench;

 private:
  TensorView moved(const TensorView& tensor);
  void split(const std::vector<float>& weights, const ParamSlice& slice);
  std::vector<float> joined(const ParamSlice& slice);
  TrainingOptions options_;
  std::vector<ParamSlice> slices_;
  std::vector<TensorView> gradients_;
};

}  // namespace moiety::testing
