// A layer's parts, and its forward.
#include "core/model/moe_layer.h"

#include "core/base/check.h"
#include "core/device/phase_timer.h"
#include "core/model/component_call.h"
#include "core/model/layer_scope.h"
#include "core/model/routing_tap.h"
#include "core/ops/scalars.h"

namespace moiety {

RoutingTap::~RoutingTap() = default;

/// Facet of gates whose definition has noise on the router's input.
static double jitter_of(const GatingPolicy& gate) {
  const auto* eps = static_cast<const double*>(gate.facet("router_input_jitter"));
  return eps == nullptr ? 0 : *eps;
}

MoeLayer::MoeLayer(ParameterTable& table, const std::string& prefix, const ModelDims& dims,
                   MoeParts parts)
    : dims_(dims),
      gate_(std::move(parts.gate)),
      expert_(std::move(parts.expert)),
      gate_name_(describe(gate_)),
      expert_name_(describe(expert_)),
      router_(table, prefix + ".router", dims, parts.router, jitter_of(*gate_)),
      gate_params_(table.declare(prefix + ".gate", *gate_, /*expert=*/false, dims.layer)),
      expert_params_(table.declare(prefix + ".experts", *expert_, /*expert=*/true, dims.layer)),
      load_noise_(parts.load_noise) {
  if (parts.shape.dense == DenseBranch::kNone) return;
  MOIETY_CHECK(parts.dense != nullptr, "{}: the layer shape asks for a dense branch; none was made",
               prefix);
  dense_ = std::make_unique<DenseMix>(table, prefix, parts.shape, dims, std::move(parts.dense));
}

static RoutingPlan make_plan(Arena& memory, const PlanShape& shape, int64_t tokens,
                             int64_t experts) {
  const bool by_token = shape.layout == PlanLayout::kTokenMajor;
  const int64_t rows = by_token ? tokens : experts;
  RoutingPlan plan;
  plan.capacity = by_token ? shape.capacity : shape.slots;
  plan.index = memory.make(DType::kI32, {rows, shape.slots});
  plan.weight = memory.make(DType::kF32, {rows, shape.slots});
  if (shape.writes_position) plan.position = memory.make(DType::kI32, {rows, shape.slots});
  if (shape.writes_scores) plan.scores = memory.make(DType::kF32, {tokens, experts});
  if (shape.aux_losses > 0) plan.aux_loss = memory.make(DType::kF32, {shape.aux_losses});
  if (shape.metrics > 0) plan.metrics = memory.make(DType::kF32, {shape.metrics});
  return plan;
}

void MoeLayer::plan(Exec& exec, MoeCall& call) const {
  const PhaseScope phase(exec, "gate");
  const int64_t T = call.input.x.dim(0), E = dims_.experts;
  const TensorView logits = call.memory->make(DType::kF32, {T, E});
  router_.forward(exec, router_.input(exec, call.input.x, call.input.training), logits);
  call.gating.logits = logits;
  call.gating.token_mask = call.input.token_mask;
  call.gating.batch = call.input.batch;
  call.gating.training = call.input.training;
  call.gating.token_ids = call.input.token_ids;
  call.shape = in_plugin(gate_name_, "plan_shape", dims_.layer,
                         [&] { return gate_->plan_shape(T, E, call.input.training); });
  MOIETY_CHECK(call.shape.slots >= 1,
               "{} (layer {}): plan_shape says {} slots, at least 1 expected", gate_name_,
               dims_.layer, call.shape.slots);
  if (call.shape.reads_x) call.gating.x = call.input.x;
  call.plan = make_plan(*call.memory, call.shape, T, E);
  Saved saved(&call.gate);
  in_component(exec, gate_name_, "forward", dims_.layer,
               [&] { gate_->forward(exec, call.gating, Params(gate_params_), call.plan, saved); });
  RoutingTap* tap = exec.impl().routing;
  if (tap != nullptr && call.input.training) tap->on_plan(exec, dims_.layer, call.plan);
}

void MoeLayer::dispatch(Exec& exec, MoeCall& call) const {
  const PhaseScope phase(exec, "permute");
  const int64_t N = call.plan.index.numel(), E = dims_.experts;
  Arena& memory = *call.memory;
  ops::Permutation& slots = call.slots;
  slots.start = memory.make(DType::kI32, {E});
  slots.count = memory.make(DType::kI32, {E});
  slots.row = memory.make(DType::kI32, {N});
  slots.weight = memory.make(DType::kF32, {N});
  slots.slot = memory.make(DType::kI32, {call.plan.index.dim(0), call.plan.index.dim(1)});
  ops::permute(exec, call.plan, call.shape.layout, E, slots);
  call.batch.start = slots.start, call.batch.count = slots.count;
  call.batch.x = call.input.x, call.batch.row = slots.row, call.batch.weight = slots.weight;
}

void MoeLayer::add_losses(Exec& exec, const MoeSums& sums, MoeCall& call) const {
  const PhaseScope phase(exec, "routing statistics");
  const int64_t E = dims_.experts;
  const TensorView all = exec.scratch(DType::kF32, {3 * E + 2});
  ops::fill(exec, all, 0);
  const ops::RoutingSums layer{all.slice(0, 0, E), all.slice(0, E, E), all.slice(0, 2 * E, E),
                               all.slice(0, 3 * E, 1), all.slice(0, 3 * E + 1, 1)};
  ops::routing_statistics(exec, call.plan, call.shape.layout, call.gating.logits,
                          call.gating.token_mask, layer);
  if (sums.routing.chosen) ops::add_routing_sums(exec, layer, sums.routing);
  const RoutedCall routing = routed(call);
  TensorView mean_share;
  if (call.plan.scores) {
    mean_share = exec.scratch(DType::kF32, {E});
    ops::column_mean(exec, loss_shares(exec, routing), call.gating.token_mask, mean_share);
  }
  call.pool = make_pool(exec, *call.memory, E);
  ops::add_to_pool(exec, layer, mean_share, call.pool);
  if (call.shared_pool != nullptr) ops::add_to_pool(exec, layer, mean_share, *call.shared_pool);
  if (sums.balance) ops::pooled_balance_loss(exec, call.pool, sums.balance);
  if (sums.z) ops::z_loss(exec, call.gating.logits, call.gating.token_mask, sums.z);
  if (sums.aux && call.plan.aux_loss) ops::add_sum(exec, call.plan.aux_loss, sums.aux);
  add_spread_losses(exec, routing, load_noise_, sums);
  if (sums.batch_load) ops::add(exec, sums.batch_load, layer.chosen, sums.batch_load);
  call.totals = sums.totals;
  call.global_loss = sums.global_batch;
}

RoutedCall MoeLayer::routed(const MoeCall& call) const {
  return {call.plan, call.shape.layout, call.gating.logits, call.gating.token_mask,
          call.gating.batch};
}

void MoeLayer::forward(Exec& exec, const MoeInput& input, const MoeSums& sums, MoeCall& call,
                       TensorView out) const {
  const LayerScope scope(exec, dims_.layer);
  call.input = input;
  plan(exec, call);
  add_losses(exec, sums, call);
  if (sums.counting_ends) return ops::fill(exec, out, 0);
  dispatch(exec, call);
  compute(exec, call, out);
}

void MoeLayer::compute_again(Exec& exec, ConstTensorView x, MoeCall& call, TensorView out) const {
  call.input.x = x, call.batch.x = x;
  if (call.gating.x) call.gating.x = x;
  call.expert.tensors.clear();
  call.dense.saved.tensors.clear();
  compute(exec, call, out);
}

void MoeLayer::compute(Exec& exec, MoeCall& call, TensorView out) const {
  const MoeInput& input = call.input;
  const int64_t N = call.plan.index.numel(), D = dims_.model;
  const TensorView y = exec.scratch(input.x.dtype, {N, D});
  Saved saved(&call.expert);
  {
    const PhaseScope phase(exec, "experts");
    const Fp8Scope fp8(exec, exec.impl().fp8_parts.experts);
    const ArenaScope scratch(*exec.impl().scratch);
    in_component(exec, expert_name_, "forward", dims_.layer,
                 [&] { expert_->forward(exec, call.batch, Params(expert_params_), y, saved); });
  }
  if (dense_ == nullptr) {
    ops::combine(exec, call.plan, call.shape.layout, call.slots, y, out);
    return;
  }
  Arena& memory = *call.dense.saved.arena;
  const TensorView routed = memory.make(out.dtype, {out.dim(0), D});
  ops::combine(exec, call.plan, call.shape.layout, call.slots, y, routed);
  dense_->forward(exec, memory, *input.all, input.x, routed, call.dense, out);
}

double MoeLayer::flops_per_token() const {
  const double router = 2.0 * static_cast<double>(dims_.model * dims_.experts);
  return router + (dense_ != nullptr ? dense_->flops_per_token() : 0);
}

double MoeLayer::flops_per_choice() const { return expert_->flops_per_token(); }

}  // namespace moiety
