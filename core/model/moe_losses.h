// The auxiliary losses of one MoE layer: where they are added, and their weights.
#pragma once

#include <cstdint>

#include "core/device/arena.h"
#include "core/ops/balance_pool.h"
#include "core/ops/sequence_balance.h"

namespace moiety {

/// Of the whole train batch, f32; a layer's part of BatchTotals. `load` is read in backward.
struct MoeTotals {
  TensorView load;               // [E]
  TensorView tokens, sequences;  // [1]
};

/// Where a call adds its statistics and raw losses, all f32; an empty view is left out.
struct MoeSums {
  ops::RoutingSums routing;  // see StepSums; all of it or nothing
  TensorView aux, balance, z, sequence, global_batch, importance, load;  // [1]
  TensorView batch_load;       // [E]: += this call's choices, while the train batch is counted
  bool counting_ends = false;  // nothing behind the router is wanted: the layer's output is 0
  MoeTotals totals;            // for sequence and global_batch
};

/// Coefficients of the auxiliary losses in the gradient; 1 / micro-batches included, except in
/// sequence and global_batch, which are sums over the train batch.
struct MoeLossWeights {
  double gate = 0, balance = 0, z = 0;
  double model = 0;  // of the call's shared pool
  double sequence = 0, global_batch = 0, importance = 0, load = 0;
  double load_noise = 0;  // deviation in the load loss; 0 = 1 / experts
  /// Whether a loss is a function of shares: probabilities, or the gate's own scores.
  bool of_shares() const { return balance + model + sequence + global_batch > 0; }
};

/// A zeroed pool of `experts` in `memory`.
MOIETY_API ops::BalancePool make_pool(Exec& exec, Arena& memory, int64_t experts);

/// A call's routing, as the losses see it.
struct RoutedCall {
  const RoutingPlan& plan;
  PlanLayout layout;
  ConstTensorView logits, token_mask;
  int64_t batch;  // sequences
  int64_t tokens() const { return logits.dim(0); }
  int64_t experts() const { return logits.dim(1); }
};

/// f32 [T, E] in scratch memory: the gate's scores over their sum, or softmax(logits).
TensorView loss_shares(Exec& exec, const RoutedCall& call);
/// Adds the losses of `sums` that need a computation of their own: sequence, importance, load.
void add_spread_losses(Exec& exec, const RoutedCall& call, double load_noise, const MoeSums& sums);
/// dshares += gradient of the sequence loss.
void sequence_gradient(Exec& exec, const RoutedCall& call, const MoeLossWeights& weights,
                       const MoeTotals& totals, TensorView dshares);
/// dweight (like plan.index) += gradient of the importance loss.
void importance_gradient(Exec& exec, const RoutedCall& call, const MoeLossWeights& weights,
                         TensorView dweight);
/// dlogits += gradient of the load loss.
void load_gradient(Exec& exec, const RoutedCall& call, const MoeLossWeights& weights,
                   TensorView dlogits);

}  // namespace moiety
