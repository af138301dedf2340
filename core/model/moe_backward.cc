// A layer's backward: exactly the forward, reversed.
#include "core/device/phase_timer.h"
#include "core/model/component_call.h"
#include "core/model/layer_scope.h"
#include "core/model/moe_layer.h"
#include "core/ops/scalars.h"

namespace moiety {

void MoeLayer::gate_gradient(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                             ConstTensorView dweight, ConstTensorView dscores,
                             const GatingGrad& out) const {
  RoutingGrad in;
  const TensorView dplan =
      exec.scratch(DType::kF32, {call.plan.index.dim(0), call.plan.index.dim(1)});
  ops::plan_weight_grad(exec, call.slots, dweight, dplan);
  if (weights.importance != 0) importance_gradient(exec, routed(call), weights, dplan);
  in.weight = dplan;
  in.scores = dscores;
  if (call.plan.aux_loss) {
    const TensorView daux = exec.scratch(DType::kF32, {call.plan.aux_loss.dim(0)});
    ops::fill_scaled(exec, weights.gate, daux);
    in.aux_loss = daux;
  }
  in_component(exec, gate_name_, "backward", dims_.layer, [&] {
    gate_->backward(exec, call.gating, Params(gate_params_), call.plan, Saved(&call.gate), in, out);
  });
}

void MoeLayer::share_gradient(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                              TensorView dshares) const {
  const ConstTensorView mask = call.gating.token_mask;
  ops::fill(exec, dshares, 0);
  if (weights.balance != 0) {
    ops::pooled_balance_grad(exec, call.pool, weights.balance, mask, dshares);
  }
  if (weights.model != 0 && call.shared_pool != nullptr) {
    ops::pooled_balance_grad(exec, *call.shared_pool, weights.model, mask, dshares);
  }
  if (weights.sequence != 0) sequence_gradient(exec, routed(call), weights, call.totals, dshares);
  if (weights.global_batch == 0) return;
  // This micro-batch's part of the loss: all choices and tokens, its own probabilities.
  ops::BalancePool batch = call.pool;
  batch.chosen = call.totals.load, batch.tokens = call.totals.tokens;
  ops::pooled_balance_grad(exec, batch, weights.global_batch, mask, dshares);
  if (call.global_loss) ops::pooled_balance_loss(exec, batch, call.global_loss);
}

void MoeLayer::router_gradient(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                               ConstTensorView dweight, TensorView dlogits,
                               TensorView dgate_x) const {
  const PhaseScope phase(exec, "gate backward");
  const int64_t T = call.input.x.dim(0), E = dims_.experts;
  const ConstTensorView mask = call.gating.token_mask;
  const bool balance = weights.of_shares();
  TensorView dshares;
  if (balance || call.plan.scores) {
    dshares = exec.scratch(DType::kF32, {T, E});
    share_gradient(exec, weights, call, dshares);
    if (balance && call.plan.scores) {
      ops::share_rows_backward(exec, call.plan.scores, dshares, dshares);
    }
  }
  const GatingGrad out{dlogits, dgate_x};
  gate_gradient(exec, weights, call, dweight, call.plan.scores ? dshares : TensorView{}, out);
  if (balance && !call.plan.scores) {  // through the router's own probabilities
    const TensorView p = exec.scratch(DType::kF32, {T, E});
    ops::softmax_rows(exec, call.gating.logits, p);
    ops::softmax_rows_backward(exec, p, dshares, dshares);
    ops::add(exec, dlogits, dshares, dlogits);
  }
  if (weights.z != 0) ops::z_loss_backward(exec, call.gating.logits, mask, weights.z, dlogits);
  if (weights.load != 0) load_gradient(exec, routed(call), weights, dlogits);
}

void MoeLayer::backward(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                        ConstTensorView dout, TensorView dx) const {
  const LayerScope scope(exec, dims_.layer);
  const ConstTensorView x = call.input.x;
  const int64_t T = x.dim(0), D = dims_.model, N = call.plan.index.numel();
  TensorView ddense, dx32;
  ConstTensorView drouted = dout;
  if (dense_ != nullptr) {
    dx32 = exec.scratch(DType::kF32, {T, D});
    ops::fill(exec, dx32, 0);
    ddense = exec.scratch(x.dtype, {T, D});
    drouted = dense_->backward(exec, *call.input.all, x, call.dense, dout, ddense, dx32);
  }
  const TensorView dslot = exec.scratch(x.dtype, {N, D}), dweight = exec.scratch(DType::kF32, {N});
  {
    const PhaseScope phase(exec, "experts backward");
    const Fp8Scope fp8(exec, exec.impl().fp8_parts.experts);
    const ArenaScope scratch(*exec.impl().scratch);
    in_component(exec, expert_name_, "backward", dims_.layer, [&] {
      expert_->backward(exec, call.batch, Params(expert_params_), Saved(&call.expert), drouted,
                        dslot, dweight);
    });
  }
  const TensorView dlogits = exec.scratch(DType::kF32, {T, dims_.experts});
  TensorView dgate_x;
  if (call.shape.reads_x) dgate_x = exec.scratch(x.dtype, {T, D});
  router_gradient(exec, weights, call, dweight, dlogits, dgate_x);

  ops::combine_backward(exec, call.plan, call.shape.layout, call.slots, dslot,
                        /*accumulate=*/false, dx);
  if (dense_ != nullptr) {
    ops::add(exec, dx, ddense, dx);
    ops::accumulate(exec, dx32, dx);
  }
  if (dgate_x) ops::add(exec, dx, dgate_x, dx);
  router_.backward(exec, router_.input(exec, x, call.input.training), dlogits, call.input.training,
                   dx);
}

void MoeLayer::end_step(Exec& exec, ConstTensorView load) const {
  if (router_.forced()) return;  // a gate that steers would undo it
  const LayerScope scope(exec, dims_.layer);
  in_component(exec, gate_name_, "end_step", dims_.layer,
               [&] { gate_->end_step(exec, Params(gate_params_), load); });
}

}  // namespace moiety
