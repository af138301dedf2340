// The importance and the load loss of Shazeer et al. (2017, section 4 and appendix A): the squared
// coefficient of variation of what the experts get.
//
//   CV(x)^2 = E * sum_e x_e^2 / (sum_e x_e)^2 - 1
//   importance_e = sum over tokens of the weight that routes to e
//   load_e       = sum over tokens of Phi((logit_e - threshold_e) / sigma)
//
// threshold_e is the K-th largest of the token's other logits: above it e is among the best K.
// Phi is the normal distribution's function, so load_e is how many tokens e would get if fresh
// noise of deviation sigma were added to its logit (Riquelme et al., 2021, appendix A, with the
// noise of the choice itself left out).
#pragma once

#include <cstdint>

#include "core/ops/routing.h"

namespace moiety::ops {

/// loss f32 [1] += CV(x)^2 of x f32 [E]; nothing where x sums to 0 or less.
MOIETY_API void squared_variation(Exec&, ConstTensorView x, TensorView loss /* += */);
/// dx = coefficient * exec.step()->loss_scale * gradient.
MOIETY_API void squared_variation_grad(Exec&, ConstTensorView x, double coefficient, TensorView dx);

/// out f32 [E] = sum of the plan's weights of kept choices.
MOIETY_API void importance(Exec&, const RoutingPlan&, PlanLayout, int64_t experts, TensorView out);
/// dweight (f32, like plan.index) += dimportance of the slot's expert, where kept.
MOIETY_API void importance_backward(Exec&, const RoutingPlan&, PlanLayout,
                                    ConstTensorView dimportance, TensorView dweight /* += */);

/// out f32 [E] = load over used tokens, of K choices a token. With K = E every expert is certain.
MOIETY_API void smooth_load(Exec&, ConstTensorView logits, ConstTensorView token_mask, int64_t K,
                            double sigma, TensorView out);
MOIETY_API void smooth_load_backward(Exec&, ConstTensorView logits, ConstTensorView token_mask,
                                     int64_t K, double sigma, ConstTensorView dload,
                                     TensorView dlogits /* += */);

}  // namespace moiety::ops
