// Losses that are computed twice, in forward for the log and in backward for the gradient: keeping
// what they need would cost more memory than their few sums cost time.
#include "core/model/moe_losses.h"

#include <moiety/ops.h>

#include "core/base/check.h"
#include "core/ops/variation_loss.h"

namespace moiety {

ops::BalancePool make_pool(Exec& exec, Arena& memory, int64_t experts) {
  const TensorView all = memory.make(DType::kF32, {2 * experts + 1});
  ops::fill(exec, all, 0);
  return {all.slice(0, 0, experts), all.slice(0, experts, experts), all.slice(0, 2 * experts, 1)};
}

TensorView loss_shares(Exec& exec, const RoutedCall& call) {
  const TensorView shares = exec.scratch(DType::kF32, {call.tokens(), call.experts()});
  if (call.plan.scores) {
    ops::share_rows(exec, call.plan.scores, shares);
  } else {
    ops::softmax_rows(exec, call.logits, shares);
  }
  return shares;
}

static ops::SequenceSums sums_of_sequences(Exec& exec, const RoutedCall& call) {
  const int64_t B = call.batch, E = call.experts();
  const ops::SequenceSums sums{exec.scratch(DType::kF32, {B, E}), exec.scratch(DType::kF32, {B, E}),
                               exec.scratch(DType::kF32, {B})};
  ops::sequence_sums(exec, call.plan, call.layout, loss_shares(exec, call), call.token_mask, sums);
  return sums;
}

static TensorView importance_of(Exec& exec, const RoutedCall& call) {
  const TensorView importance = exec.scratch(DType::kF32, {call.experts()});
  ops::importance(exec, call.plan, call.layout, call.experts(), importance);
  return importance;
}

/// Choices of a token.
static int64_t choices(const RoutedCall& call) {
  MOIETY_CHECK(call.layout == PlanLayout::kTokenMajor,
               "moe.balance_losses.load needs a gate whose tokens choose experts; this one's "
               "experts choose tokens, so their loads are equal by construction");
  return call.plan.index.dim(1);
}

static double noise_of(const RoutedCall& call, double wanted) {
  return wanted > 0 ? wanted : 1 / static_cast<double>(call.experts());
}

static TensorView load_of(Exec& exec, const RoutedCall& call, double noise) {
  const TensorView load = exec.scratch(DType::kF32, {call.experts()});
  ops::smooth_load(exec, call.logits, call.token_mask, choices(call), noise_of(call, noise), load);
  return load;
}

void add_spread_losses(Exec& exec, const RoutedCall& call, double load_noise, const MoeSums& sums) {
  if (sums.sequence) {
    ops::sequence_balance_loss(exec, sums_of_sequences(exec, call), sums.totals.sequences,
                               sums.sequence);
  }
  if (sums.importance) ops::squared_variation(exec, importance_of(exec, call), sums.importance);
  if (sums.load) ops::squared_variation(exec, load_of(exec, call, load_noise), sums.load);
}

void sequence_gradient(Exec& exec, const RoutedCall& call, const MoeLossWeights& weights,
                       const MoeTotals& totals, TensorView dshares) {
  ops::sequence_balance_grad(exec, sums_of_sequences(exec, call), totals.sequences,
                             weights.sequence, call.token_mask, dshares);
}

void importance_gradient(Exec& exec, const RoutedCall& call, const MoeLossWeights& weights,
                         TensorView dweight) {
  const TensorView importance = importance_of(exec, call);
  const TensorView gradient = exec.scratch(DType::kF32, {call.experts()});
  ops::squared_variation_grad(exec, importance, weights.importance, gradient);
  ops::importance_backward(exec, call.plan, call.layout, gradient, dweight);
}

void load_gradient(Exec& exec, const RoutedCall& call, const MoeLossWeights& weights,
                   TensorView dlogits) {
  const TensorView load = load_of(exec, call, weights.load_noise);
  const TensorView dload = exec.scratch(DType::kF32, {call.experts()});
  ops::squared_variation_grad(exec, load, weights.load, dload);
  ops::smooth_load_backward(exec, call.logits, call.token_mask, choices(call),
                            noise_of(call, weights.load_noise), dload, dlogits);
}

}  // namespace moiety
