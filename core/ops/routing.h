// From a routing plan to segments of slots, and back. Nothing here asks the device for a count.
#pragma once

#include <cstdint>

#include <moiety/expert_type.h>
#include <moiety/gating_policy.h>

namespace moiety::ops {

/// Where the choices of a plan lie. N = number of the plan's slots (an upper bound of the kept
/// ones).
struct Permutation {
  TensorView start, count;  // i32 [E]
  TensorView row;           // i32 [N]: slot -> token, -1 past the kept ones
  TensorView weight;        // f32 [N]
  TensorView slot;          // i32, like plan.index: choice -> slot, -1 when dropped or unused
};

/// Kept choices sorted by expert, no gaps, an expert's choices in the plan's order. Writes all of
/// `out`, padding included.
MOIETY_API void permute(Exec&, const RoutingPlan&, PlanLayout, int64_t experts,
                        const Permutation& out);
/// out [T, D] = sum over a token's kept choices, in the plan's order, of weight * y[slot]; f32
/// sums, cast once. Token-major and expert-major plans.
MOIETY_API void combine(Exec&, const RoutingPlan&, PlanLayout, const Permutation&,
                        ConstTensorView y /*[N, D]*/, TensorView out);
/// dplan_weight (f32, like plan.index) = dweight[slot], 0 where dropped or unused.
MOIETY_API void plan_weight_grad(Exec&, const Permutation&, ConstTensorView dweight /*f32 [N]*/,
                                 TensorView dplan_weight);
/// dx [T, D] += (or =) sum over a token's kept choices, in the plan's order, of dslot[slot].
MOIETY_API void combine_backward(Exec&, const RoutingPlan&, PlanLayout, const Permutation&,
                                 ConstTensorView dslot /*[N, D]*/, bool accumulate, TensorView dx);

/// Adds a call's routing to a layer's row of the step's statistics. All f32; see StepSums.
struct RoutingSums {
  TensorView chosen, dropped, probability;  // [E]
  TensorView entropy, tokens;               // [1]
};
MOIETY_API void routing_statistics(Exec&, const RoutingPlan&, PlanLayout, ConstTensorView logits,
                                   ConstTensorView token_mask, const RoutingSums& sums /* += */);

/// Router z-loss (Zoph et al., 2022, eq. 5): loss f32 [1] += mean over used tokens of
/// logsumexp(logits)^2.
MOIETY_API void z_loss(Exec&, ConstTensorView logits, ConstTensorView token_mask,
                       TensorView loss /* += */);
/// dlogits += coefficient * exec.step()->loss_scale * gradient.
MOIETY_API void z_loss_backward(Exec&, ConstTensorView logits, ConstTensorView token_mask,
                                double coefficient, TensorView dlogits /* += */);

/// to += from, of any two floating dtypes.
MOIETY_API void accumulate(Exec&, ConstTensorView from, TensorView to /* += */);

}  // namespace moiety::ops
