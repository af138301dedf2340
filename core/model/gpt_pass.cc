// One micro-batch through the decoder, and back.
#include <optional>

#include "core/base/check.h"
#include "core/model/gpt.h"
#include "core/model/layer_scope.h"

namespace moiety {

struct Gpt::Pass {
  Pass(Exec& exec, Arena& memory, ConstTensorView tokens, bool training)
      : all(exec, memory, tokens.numel()), ids(tokens.reshape({tokens.numel()})) {
    input.shape = {tokens.dim(0), tokens.dim(1), training};
    input.all = &all;
    input.token_ids = ids;
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  AllRows all;
  ConstTensorView ids;  // i32 [T]
  DecoderInput input;
  std::vector<LayerCall> calls;
  std::optional<ops::BalancePool> pool;  // of all layers, with scope model
};

namespace {

/// Noise of this micro-batch's rows while this lives.
class RowScope {
 public:
  RowScope(const Exec& exec, const RowMap* rows) : impl_(exec.impl()), before_(impl_.rows) {
    if (rows != nullptr) impl_.rows = rows;
  }
  ~RowScope() { impl_.rows = before_; }
  RowScope(const RowScope&) = delete;
  RowScope& operator=(const RowScope&) = delete;

 private:
  Exec::Impl& impl_;
  const RowMap* before_;
};

TensorView row_of(const TensorView& table, int64_t row, int64_t width) {
  return table.slice(0, row, 1).slice(1, 0, width).reshape({width});
}

TensorView element(const TensorView& vector, int64_t i) {
  return vector ? vector.slice(0, i, 1) : vector;
}

}  // namespace

MoeSums Gpt::layer_sums(const StepSums& sums, int64_t layer) const {
  const int64_t row = row_[static_cast<size_t>(layer)];
  if (row < 0) return {};
  const int64_t E = layers_[static_cast<size_t>(layer)]->moe()->dims().experts;
  MoeSums of_layer;
  if (sums.chosen) {
    of_layer.routing = {row_of(sums.chosen, row, E), row_of(sums.dropped, row, E),
                        row_of(sums.probability, row, E), element(sums.entropy, row),
                        element(sums.tokens, row)};
  }
  of_layer.aux = element(sums.aux, row);
  of_layer.balance = element(sums.balance, row);
  of_layer.z = element(sums.z, row);
  return of_layer;
}

TensorView Gpt::decode_to_keep(Exec& exec, Pass& pass, const StepSums& sums, TensorView x) {
  pass.calls.reserve(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    LayerCall& call = pass.calls.emplace_back(memory_);
    if (pass.pool) call.moe.shared_pool = &*pass.pool;
    const TensorView y = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
    layers_[i]->forward(exec, memory_, pass.input, x, layer_sums(sums, static_cast<int64_t>(i)),
                        call, y);
    x = y;
  }
  return x;
}

TensorView Gpt::decode_to_forget(Exec& exec, Pass& pass, const StepSums& sums, TensorView x) {
  TensorView y = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const ArenaScope layer(memory_);
    LayerCall call(memory_);
    if (pass.pool) call.moe.shared_pool = &*pass.pool;
    layers_[i]->forward(exec, memory_, pass.input, x, layer_sums(sums, static_cast<int64_t>(i)),
                        call, y);
    std::swap(x, y);
  }
  return x;
}

TensorView Gpt::decode(Exec& exec, Pass& pass, const StepSums& sums) {
  const BatchShape& shape = pass.input.shape;
  if (moe_config_.balance_scope == BalanceScope::kModel && !moe_.empty()) {
    pass.pool = make_pool(exec, memory_, most_experts());
  }
  const TensorView x = memory_.make(exec.compute_dtype(), {shape.rows(), config_.hidden});
  embedding_.forward(exec, shape, pass.ids, x);
  const TensorView last =
      shape.training ? decode_to_keep(exec, pass, sums, x) : decode_to_forget(exec, pass, sums, x);
  if (pass.pool && sums.balance)
    ops::pooled_balance_loss(exec, *pass.pool, element(sums.balance, 0));
  return last;
}

void Gpt::forward_backward(Exec& exec, const MicroBatch& batch, const Objective& objective,
                           int64_t micro_batches, const StepSums& sums) {
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.tokens, /*training=*/true);
  if (batch.token_mask) pass.input.token_mask = batch.token_mask.reshape({pass.ids.numel()});
  const TensorView x = decode(exec, pass, sums);
  const TensorView dx = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
  head_->loss(exec, batch, objective, x, sums, dx);

  const double share = 1 / static_cast<double>(micro_batches);
  const MoeLossWeights weights{moe_config_.loss_coeff * share,
                               moe_config_.balance_loss_coeff * share,
                               moe_config_.z_loss_coeff * share};
  for (size_t i = layers_.size(); i-- > 0;) {
    layers_[i]->backward(exec, pass.input, weights, pass.calls[i], dx);
  }
  embedding_.backward(exec, pass.input.shape, pass.ids, dx, /*token_accumulate=*/head_->tied());
}

void Gpt::evaluate(Exec& exec, const MicroBatch& batch, const Objective& objective,
                   const StepSums& sums) {
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.tokens, /*training=*/false);
  if (batch.token_mask) pass.input.token_mask = batch.token_mask.reshape({pass.ids.numel()});
  head_->loss(exec, batch, objective, decode(exec, pass, sums), sums, {});
}

void Gpt::logits(Exec& exec, ConstTensorView tokens, TensorView logits) {
  const ArenaScope memory(memory_);
  Pass pass(exec, memory_, tokens, /*training=*/false);
  head_->logits(exec, decode(exec, pass, {}), logits);
}

}  // namespace moiety
