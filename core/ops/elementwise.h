// Bias, residual, dropout, rows. x, y in the compute dtype [T, D]; bias f32 [D].
#pragma once

#include <moiety/params.h>
#include <moiety/rng.h>

#include <moiety/exec.h>

namespace moiety::ops {

MOIETY_API void add_bias(Exec&, ConstTensorView bias, TensorView x);  ///< in place
/// Column sums of dy [T, D] into bias.grad(), as its grad_mode() says; a fixed order.
MOIETY_API void bias_grad(Exec&, ConstTensorView dy, const Parameter& bias);

/// to = from, of one dtype; rows may be strided.
MOIETY_API void copy_rows(Exec&, ConstTensorView from, TensorView to);

/// out = residual + dropout(x). rate 0: a plain sum. Kept elements are divided by 1 - rate. The
/// mask comes from exec.rng(key) at (row, column) and is drawn again in backward.
MOIETY_API void dropout_add(Exec&, RngKey key, double rate, ConstTensorView x,
                            ConstTensorView residual /*or empty = 0*/, TensorView out);
/// dx = dropout's mask times dy.
MOIETY_API void dropout_backward(Exec&, RngKey key, double rate, ConstTensorView dy,
                                 TensorView dx /*may alias dy*/);

}  // namespace moiety::ops
