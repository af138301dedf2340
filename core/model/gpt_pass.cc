// One micro-batch through the decoder, and back.
#include <optional>

#include "core/base/check.h"
#include "core/model/gpt.h"
#include "core/model/layer_scope.h"
#include "core/model/layer_sums.h"

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
  bool keep = false;  // all that a backward reads
  std::vector<LayerCall> calls;
  std::optional<ops::BalancePool> pool;  // of all layers, for the loss of scope model
  BatchTotals own;                       // of this micro-batch, where no others were given
  BatchTotals* totals = nullptr;         // where a loss spans the train batch
  bool counting = false;                 // ends at the last router
};

MoeSums Gpt::sums_of_layer(const Pass& pass, const StepSums& sums, int64_t layer) const {
  const int64_t row = row_[static_cast<size_t>(layer)];
  if (row < 0) return {};
  const int64_t E = layers_[static_cast<size_t>(layer)]->moe()->dims().experts;
  MoeSums of_layer = layer_sums(sums, losses_, row, E);
  if (pass.totals == nullptr) return of_layer;
  const BatchTotals& totals = *pass.totals;
  of_layer.totals = {{}, totals.tokens(), totals.sequences()};
  if (losses_.sequence > 0) of_layer.sequence = element_of(sums.balance_sequence, row);
  if (losses_.global_batch > 0) {
    of_layer.totals.load = row_of(totals.load, row, E);
    if (!totals.complete) of_layer.batch_load = of_layer.totals.load;
    of_layer.global_batch = element_of(sums.balance_global, row);
  }
  return of_layer;
}

void Gpt::take_totals(Exec& exec, const MicroBatch& batch, int64_t micro_batches, Pass& pass) {
  if (!needs_counts()) return;
  pass.totals = batch.totals != nullptr ? batch.totals : &pass.own;
  if (batch.totals != nullptr) return;
  MOIETY_CHECK(micro_batches == 1,
               "a balancing loss spans the {} micro-batches of a train batch, but the batch came "
               "without its totals",
               micro_batches);
  pass.own.counts = memory_.make(DType::kF32, {2});
  pass.own.load = memory_.make(DType::kF32, {moe_layers(), most_experts()});
  ops::fill(exec, pass.own.counts, 0);
  ops::fill(exec, pass.own.load, 0);
  const BatchShape& shape = pass.input.shape;
  ops::count_sequences(exec, pass.input.token_mask, shape.batch, shape.rows() / shape.batch,
                       pass.own.tokens(), pass.own.sequences());
}

void Gpt::complete_load(Exec& exec, Pass& pass) const {
  if (pass.totals == nullptr || pass.totals->complete) return;
  pass.totals->complete = true;
  if (pass.totals->ranks != nullptr && needs_load()) {
    pass.totals->ranks->sum(exec, pass.totals->load);
  }
}

TensorView Gpt::decode_to_keep(Exec& exec, Pass& pass, const StepSums& sums, TensorView x) {
  const LayerMemory memory{memory_, again_, recompute_};
  pass.calls.reserve(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    LayerCall& call = pass.calls.emplace_back(memory);
    if (pass.pool) call.moe.shared_pool = &*pass.pool;
    const TensorView y = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
    layers_[i]->forward(exec, memory, pass.input, x,
                        sums_of_layer(pass, sums, static_cast<int64_t>(i)), call, y);
    x = y;
  }
  return x;
}

TensorView Gpt::decode_to_forget(Exec& exec, Pass& pass, const StepSums& sums, TensorView x,
                                 int64_t layers) {
  TensorView y = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
  for (int64_t i = 0; i < layers; ++i) {
    const ArenaScope layer(memory_);
    const LayerMemory memory{memory_, memory_};
    LayerCall call(memory);
    if (pass.pool) call.moe.shared_pool = &*pass.pool;
    MoeSums of_layer = sums_of_layer(pass, sums, i);
    of_layer.counting_ends = pass.counting && i + 1 == layers;
    layers_[static_cast<size_t>(i)]->forward(exec, memory, pass.input, x, of_layer, call, y);
    std::swap(x, y);
  }
  return x;
}

/// The documents of the micro-batch, once for all layers and their backward.
void Gpt::find_documents(Exec& exec, Pass& pass) {
  if (!config_.documents.told_apart()) return;
  const BatchShape& shape = pass.input.shape;
  const int64_t listed = ops::documents_to_list(shape.batch, shape.sequence);
  const TensorView starts = memory_.make(DType::kI32, {shape.rows()});
  const TensorView begins = memory_.make(DType::kI32, {listed + 1});
  const ArenaScope scratch(*exec.impl().scratch);
  ops::document_starts(exec, pass.ids, shape.sequence, config_.documents.end_token, starts);
  ops::list_documents(exec, shape.sequence, starts, begins);
  pass.input.documents = {starts, begins};
}

TensorView Gpt::embed(Exec& exec, Pass& pass) {
  const BatchShape& shape = pass.input.shape;
  find_documents(exec, pass);
  const TensorView x = memory_.make(exec.compute_dtype(), {shape.rows(), config_.hidden});
  embedding_.forward(exec, shape, pass.input.documents, pass.ids, x);
  return x;
}

TensorView Gpt::decode(Exec& exec, Pass& pass, const StepSums& sums) {
  if (losses_.model > 0 && !moe_.empty()) pass.pool = make_pool(exec, memory_, most_experts());
  const TensorView x = embed(exec, pass);
  const TensorView last = pass.keep ? decode_to_keep(exec, pass, sums, x)
                                    : decode_to_forget(exec, pass, sums, x, config_.layers);
  if (pass.pool && sums.balance_model) {
    ops::pooled_balance_loss(exec, *pass.pool, sums.balance_model);
  }
  return last;
}

void Gpt::count_load(Exec& exec, const MicroBatch& batch) {
  MOIETY_CHECK(batch.totals != nullptr, "count_load: the micro-batch has no totals to add to");
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.tokens, /*training=*/true);
  if (batch.token_mask) pass.input.token_mask = batch.token_mask.reshape({pass.ids.numel()});
  pass.totals = batch.totals;
  pass.counting = true;
  decode_to_forget(exec, pass, {}, embed(exec, pass), moe_.back() + 1);
}

void Gpt::forward_backward(Exec& exec, const MicroBatch& batch, const Objective& objective,
                           int64_t micro_batches, const StepSums& sums) {
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.tokens, /*training=*/true);
  pass.keep = true;
  if (batch.token_mask) pass.input.token_mask = batch.token_mask.reshape({pass.ids.numel()});
  take_totals(exec, batch, micro_batches, pass);
  const TensorView x = decode(exec, pass, sums);
  complete_load(exec, pass);
  const TensorView dx = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
  head_->loss(exec, batch, objective, x, sums, dx);

  const MoeLossWeights weights = loss_weights(moe_config_, 1 / static_cast<double>(micro_batches));
  const LayerMemory layer{memory_, again_, recompute_};
  for (size_t i = layers_.size(); i-- > 0;) {
    layers_[i]->backward(exec, layer, pass.input, weights, pass.calls[i], dx);
  }
  embedding_.backward(exec, pass.input.shape, pass.input.documents, pass.ids, dx,
                      /*token_accumulate=*/head_->tied());
}

void Gpt::evaluate(Exec& exec, const MicroBatch& batch, const Objective& objective,
                   const StepSums& sums) {
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.tokens, /*training=*/false);
  if (batch.token_mask) pass.input.token_mask = batch.token_mask.reshape({pass.ids.numel()});
  head_->loss(exec, batch, objective, decode(exec, pass, sums), sums, {});
}

TensorView Gpt::features(Exec& exec, const MicroBatch& batch, bool training) {
  memory_.rewind();  // what the pass before left for its caller
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.tokens, training);
  if (batch.token_mask) pass.input.token_mask = batch.token_mask.reshape({pass.ids.numel()});
  return decode(exec, pass, {});
}

void Gpt::feature_logits(Exec& exec, ConstTensorView features, TensorView logits) {
  head_->logits(exec, features, logits);
}

void Gpt::logits(Exec& exec, ConstTensorView tokens, TensorView logits) {
  const ArenaScope memory(memory_);
  Pass pass(exec, memory_, tokens, /*training=*/false);
  head_->logits(exec, decode(exec, pass, {}), logits);
}

}  // namespace moiety
