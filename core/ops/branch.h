// How a MoE layer mixes its routed and its dense part, and the noise on a router's input.
#pragma once

#include <moiety/exec.h>

namespace moiety::ops {

/// out[t] = wa[t] * a[t] + wb[t] * b[t], summed in f32. a, b, out [T, D] in the compute dtype; wa,
/// wb f32 [T] or empty = 1; b may be empty. out may alias a or b.
MOIETY_API void mix_rows(Exec&, ConstTensorView a, ConstTensorView wa, ConstTensorView b,
                         ConstTensorView wb, TensorView out);

/// Two-way softmax of logits f32 [T, 2]: first, second f32 [T].
MOIETY_API void pair_softmax(Exec&, ConstTensorView logits, TensorView first, TensorView second);
MOIETY_API void pair_softmax_backward(Exec&, ConstTensorView first, ConstTensorView second,
                                      ConstTensorView dfirst, ConstTensorView dsecond,
                                      TensorView dlogits);
/// y = 1 / (1 + exp(-x)); f32, equally many elements.
MOIETY_API void sigmoid(Exec&, ConstTensorView x, TensorView y);
MOIETY_API void sigmoid_backward(Exec&, ConstTensorView y, ConstTensorView dy, TensorView dx);

/// out = x * U[1 - eps, 1 + eps), out f32 [T, D]. The noise has the key "jitter", so the backward
/// is the same call on the gradient. out may alias an f32 x.
MOIETY_API void jitter(Exec&, double eps, ConstTensorView x, TensorView out);

}  // namespace moiety::ops
