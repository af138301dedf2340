// Numbers on the device that one step hands from op to op.
#pragma once

#include <moiety/exec.h>

namespace moiety::ops {

/// out[i] = value * exec.step()->loss_scale: the gradient of a loss whose coefficient is `value`.
MOIETY_API void fill_scaled(Exec&, double value, TensorView out /*f32*/);
/// out[0] += x[0] / denominator[0]. All f32 [1]; a denominator of 0 adds 0.
MOIETY_API void add_quotient(Exec&, ConstTensorView x, ConstTensorView denominator, TensorView out);
/// out[0] += sum of a short vector, in order.
MOIETY_API void add_sum(Exec&, ConstTensorView x /*f32 [n]*/, TensorView out /*f32 [1]*/);

}  // namespace moiety::ops
