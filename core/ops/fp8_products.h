// The three products of a layer with its weights in 8-bit floats, quantised where they are used:
//
//   y  = x w      x E4M3 by pieces along D, w by blocks
//   dx = dy w^T   dy E5M2 by pieces along N, w by blocks
//   dw = x^T dy   x E4M3 and dy E5M2, both by pieces of 128 tokens
//
// x [T, D], w [D, N] contiguous, dy and y [T, N]; dx and x in one dtype; rows may be strided.
#pragma once

#include "core/ops/fp8.h"

namespace moiety::ops {

/// Whether the part of the model that computes now (Exec::Impl::fp8) multiplies matrices such as
/// `operand` in FP8: what is not in the compute dtype was left out of it on purpose.
bool runs_in_fp8(const Exec&, const ConstTensorView& operand);

/// y = x w + bias; bias is f32 [N] or empty.
MOIETY_API void fp8_product(Exec&, ConstTensorView x, ConstTensorView w, ConstTensorView bias,
                            TensorView y);
/// dx = dy w^T.
MOIETY_API void fp8_input_gradient(Exec&, ConstTensorView dy, ConstTensorView w, TensorView dx);
/// dw (+)= x^T dy; dw [D, N] is f32 or in the compute dtype.
MOIETY_API void fp8_weight_gradient(Exec&, ConstTensorView x, ConstTensorView dy, TensorView dw,
                                    bool accumulate);

}  // namespace moiety::ops
