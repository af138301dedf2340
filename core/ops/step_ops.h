// What frames a step: gradient norm, clipping, loss scale, learning rate. All state is on the
// device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <moiety/exec.h>

#include "core/base/loss_scaler.h"
#include "core/base/schedule.h"

namespace moiety::ops {

/// The device's own copy of what changes from step to step. `step` comes first: exec.step() points
/// at it.
struct StepControl {
  StepState step;
  Schedule schedule;
  LossScaler scaler;
  double clip = 0;      // 0 = off
  float grad_norm = 0;  // of the last batch, after unscaling
  int32_t check_overflow = 1;
  int64_t skipped = 0;  // batches skipped so far
};

/// A list of tensors (f32, bf16, f16), uploaded once, for one launch over all of them.
class MOIETY_API TensorList {
 public:
  TensorList(Exec&, std::span<const TensorView> tensors);
  struct Chunk {
    const void* data;
    int64_t size;
    DType dtype;
  };
  const Chunk* chunks() const { return chunks_; }  ///< device
  int64_t size() const { return size_; }

 private:
  const Chunk* chunks_ = nullptr;
  int64_t size_ = 0;
};

/// step.lr, and where it moves them the betas, = schedule at step.update; step.loss_scale =
/// scaler.scale.
MOIETY_API void begin_step(Exec&, StepControl* control /*device*/);
/// out f32 [1] = sqrt(sum of squares) over the list, fixed order, f64 sums; inf or NaN pass
/// through.
MOIETY_API void global_norm(Exec&, const TensorList&, TensorView out);
/// From the norm of the scaled gradients: overflow, skip, grad_norm, grad_factor = unscale * clip
/// (DeepSpeed's c = (n + 1e-6) / clip, divided by when above 1), scaler.update.
MOIETY_API void finish_gradients(Exec&, ConstTensorView norm, StepControl* control);
/// After the optimizer: batch += 1; update += 1 unless skipped.
MOIETY_API void end_step(Exec&, StepControl* control);

}  // namespace moiety::ops
