// Layer norm and RMS norm over rows. x, y in the compute dtype; weight, bias f32 [D].
#pragma once

#include <moiety/exec.h>
#include <moiety/params.h>

namespace moiety::ops {

/// y = (x - mean) * rstd * weight + bias. statistics f32 [T, 2] = mean, rstd, for backward.
MOIETY_API void layer_norm(Exec&, double eps, ConstTensorView x, ConstTensorView weight,
                           ConstTensorView bias /*or empty*/, TensorView y, TensorView statistics);
/// dx = gradient + `residual` (or empty = 0): the residual stream's gradient is added here.
/// Gradients of weight and bias as their grad_mode() says, summed in a fixed order. dx may alias
/// residual.
MOIETY_API void layer_norm_backward(Exec&, ConstTensorView x, const Parameter& weight,
                                    const Parameter* bias, ConstTensorView statistics,
                                    ConstTensorView dy, ConstTensorView residual, TensorView dx);
/// sum = x + added, and the norm of `sum`: what dropout_add with rate 0 and layer_norm give.
MOIETY_API void add_layer_norm(Exec&, double eps, ConstTensorView x, ConstTensorView added,
                               ConstTensorView weight, ConstTensorView bias /*or empty*/,
                               TensorView sum, TensorView y, TensorView statistics);
/// y = x * rstd * weight. statistics f32 [T, 1] = rstd.
MOIETY_API void rms_norm(Exec&, double eps, ConstTensorView x, ConstTensorView weight, TensorView y,
                         TensorView statistics);
MOIETY_API void add_rms_norm(Exec&, double eps, ConstTensorView x, ConstTensorView added,
                             ConstTensorView weight, TensorView sum, TensorView y,
                             TensorView statistics);
MOIETY_API void rms_norm_backward(Exec&, ConstTensorView x, const Parameter& weight,
                                  ConstTensorView statistics, ConstTensorView dy,
                                  ConstTensorView residual, TensorView dx);

}  // namespace moiety::ops
