// The core's balancing loss over a pool of tokens: one layer's micro-batch, that of all layers, or
// the whole train batch, whose choices and tokens then stand in the pools of all its micro-batches.
//
//   loss = E * sum_e (choices of e / tokens) * (sum of probability of e / tokens)
//
// Switch's loss (Fedus et al., 2021, eq. 4) over all K choices, before dropping: the shares sum to
// K, as in transformers' load_balancing_loss.
#pragma once

#include "core/ops/routing.h"

namespace moiety::ops {

/// f32, zeroed by the owner before the first layer adds to it.
struct BalancePool {
  TensorView chosen, probability;  // [E]
  TensorView tokens;               // [1]
};

/// Adds a layer's sums. `mean_score` f32 [E]: means over used tokens of the gate's own scores, in
/// place of the router's probabilities; or empty.
MOIETY_API void add_to_pool(Exec&, const RoutingSums& layer, ConstTensorView mean_score,
                            const BalancePool& pool /* += */);
MOIETY_API void pooled_balance_loss(Exec&, const BalancePool&, TensorView loss /*f32 [1], += */);
/// dprobs[t, e] += coefficient * exec.step()->loss_scale * gradient; nothing for masked tokens.
MOIETY_API void pooled_balance_grad(Exec&, const BalancePool&, double coefficient,
                                    ConstTensorView token_mask,
                                    TensorView dprobs /*f32 [T, E], += */);

/// to += from, for every sum.
MOIETY_API void add_routing_sums(Exec&, const RoutingSums& from, const RoutingSums& to);

}  // namespace moiety::ops
