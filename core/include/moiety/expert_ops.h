// Ops of expert functions that read tokens where they lie (ExpertBatch::row) and finish a product
// in the same pass, so that no [slots, D] copy of tokens exists where the card has a kernel for it.
// Elsewhere they are the ops of <moiety/ops.h>, one after the other, on scratch memory. Letters as
// there; an empty ExpertBatch::row means that slot n is row n.
#pragma once

#include <moiety/ops.h>

namespace moiety::ops {

/// h[n] = x[row[n]] w[g % L] + bias[g % L], a = act(h). x [R, D], w [L, D, H], bias f32 [L, H] or
/// empty, h and a [N, H].
MOIETY_API void expert_up(Exec&, const ExpertBatch&, Activation, ConstTensorView x,
                          ConstTensorView w, ConstTensorView bias, TensorView h, TensorView a);
/// The gated form: w [L, D, 2, H] and h [N, 2H] hold the gate first; a [N, H] = act(gate) * up.
MOIETY_API void gated_expert_up(Exec&, const ExpertBatch&, Activation, ConstTensorView x,
                                ConstTensorView w, TensorView h, TensorView a);

/// y[n] = a[n] w[g % L] + bias[g % L]: the second product. a [N, H], w [L, H, D], bias f32 [L, D]
/// or empty, y [N, D].
MOIETY_API void expert_down(Exec&, const ExpertBatch&, ConstTensorView a, ConstTensorView w,
                            ConstTensorView bias, TensorView y);

/// What the backward of act(h) w begins with, w [L, H, D]: with A = act(h) and dA[n] = dout[row[n]]
/// w^T, writes dweight[n] = <A, dA> (f32 [N], or empty), dh = weight[n] dA act'(h) and a =
/// weight[n] A, the operand of w's gradient. dout [R, D]; h, dh and a [N, H].
MOIETY_API void expert_down_backward(Exec&, const ExpertBatch&, Activation, ConstTensorView dout,
                                     ConstTensorView w, ConstTensorView h, TensorView dh,
                                     TensorView a, TensorView dweight);
/// The gated form: h and dh [N, 2H] hold the gate first; A = act(gate) * up.
MOIETY_API void gated_expert_down_backward(Exec&, const ExpertBatch&, Activation,
                                           ConstTensorView dout, ConstTensorView w,
                                           ConstTensorView h, TensorView dh, TensorView a,
                                           TensorView dweight);

/// Which operand of a gradient lies by row rather than by slot.
enum class ByRow : uint8_t { kA, kDout };
/// grouped_gemm_grad with one operand read at row[n] for slot n.
MOIETY_API void grouped_gemm_grad_by_row(Exec&, const ExpertBatch&, ByRow, ConstTensorView a,
                                         ConstTensorView dout, const Parameter& w);
/// Gradient of a bias that was added before the combine weights: sum of weight[n] dout[row[n]].
MOIETY_API void grouped_bias_grad_by_row(Exec&, const ExpertBatch&, ConstTensorView dout,
                                         const Parameter& bias);
/// dweight[n] += <bias[g % L], dout[row[n]]>; bias f32 [L, D], dweight f32 [N].
MOIETY_API void grouped_bias_dot(Exec&, const ExpertBatch&, ConstTensorView bias,
                                 ConstTensorView dout, TensorView dweight);

}  // namespace moiety::ops
