// What a router's options ask for beside the plain product: sums in f64, and logits that force a
// routing for benchmarks.
#pragma once

#include <moiety/exec.h>

namespace moiety::ops {

/// logits f32 [T, E] = x w, each element summed in f64 and rounded once; x [T, D] and w [D, E] are
/// f32.
MOIETY_API void router_product(Exec&, ConstTensorView x, ConstTensorView w, TensorView logits);
/// dx f32 [T, D] = dlogits w^T, summed in f64.
MOIETY_API void router_input_grad(Exec&, ConstTensorView dlogits, ConstTensorView w, TensorView dx);
/// dw f32 [D, E] = (or +=) x^T dlogits, summed in f64.
MOIETY_API void router_weight_grad(Exec&, ConstTensorView x, ConstTensorView dlogits,
                                   bool accumulate, TensorView dw);

/// Token t likes the experts t, t + 1, ... (mod E) best, in this order, so that every number of
/// choices falls on all experts alike when E divides the tokens.
MOIETY_API void force_balanced(Exec&, TensorView logits /*f32 [T, E]*/);
/// Logits -exponent * log(1 + e) plus Gumbel noise (key "forced_routing"): the first choice is
/// expert e with a probability in proportion to (1 + e)^-exponent (Zipf's law).
MOIETY_API void force_zipf(Exec&, double exponent, TensorView logits /*f32 [T, E]*/);

}  // namespace moiety::ops
