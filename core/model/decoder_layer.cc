// One decoder layer.
#include "core/model/decoder_layer.h"

#include "core/device/phase_timer.h"
#include "core/model/layer_scope.h"
#include "core/ops/elementwise.h"

namespace moiety {

NormKind norm_kind(const ModelConfig& config) {
  if (config.norm == "layernorm") return NormKind::kLayerNorm;
  if (config.norm == "rmsnorm") return NormKind::kRmsNorm;
  throw ConfigError("model.norm: '" + config.norm + "' is unknown; expected layernorm or rmsnorm");
}

static std::string layer_name(int64_t layer, const char* part) {
  return "layers." + std::to_string(layer) + "." + part;
}

DecoderLayer::DecoderLayer(ParameterTable& table, const ModelConfig& config, int64_t layer,
                           const ModelDims& moe_dims, MoeParts* moe)
    : layer_(layer),
      dropout_(config.dropout),
      attention_norm_(table, layer_name(layer, "attention_norm"), norm_kind(config),
                      config.norm_eps, config.hidden, config.bias, layer),
      attention_(table, layer_name(layer, "attention"), config, layer),
      ffn_norm_(table, layer_name(layer, "ffn_norm"), norm_kind(config), config.norm_eps,
                config.hidden, config.bias, layer) {
  if (moe == nullptr) {
    dense_ = std::make_unique<DenseFfn>(table, layer_name(layer, "ffn"), config, layer);
  } else {
    moe_ = std::make_unique<MoeLayer>(table, layer_name(layer, "moe"), moe_dims, std::move(*moe));
  }
}

void DecoderLayer::attend(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                          LayerCall& call, TensorView out) const {
  const PhaseScope phase(exec, "attention block");
  Arena& arena = memory.of(memory.attention_again());
  call.attention_input = arena.make(call.x.dtype, {call.x.dim(0), call.x.dim(1)});
  call.attention_norm = arena.make(DType::kF32, {call.x.dim(0), attention_norm_.statistics()});
  attention_norm_.forward(exec, call.x, call.attention_input, call.attention_norm);
  attention_.forward(exec, arena, input.shape, input.documents, call.attention_input,
                     call.attention, out);
}

void DecoderLayer::join(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                        TensorView added, LayerCall& call) const {
  Arena& arena = memory.of(memory.stream_again());
  const int64_t T = call.x.dim(0), D = call.x.dim(1);
  call.middle = arena.make(call.x.dtype, {T, D});
  call.ffn_input = arena.make(call.x.dtype, {T, D});
  call.ffn_norm = arena.make(DType::kF32, {T, ffn_norm_.statistics()});
  const double rate = input.shape.training ? dropout_ : 0;
  if (rate > 0) {
    ops::dropout_add(exec, "attention_output_dropout", rate, added, call.x, call.middle);
    ffn_norm_.forward(exec, call.middle, call.ffn_input, call.ffn_norm);
  } else {
    ffn_norm_.forward(exec, call.x, added, call.middle, call.ffn_input, call.ffn_norm);
  }
}

void DecoderLayer::forward(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                           ConstTensorView x, const MoeSums& sums, LayerCall& call,
                           TensorView y) const {
  const LayerScope scope(exec, layer_);
  const ArenaScope again(memory.again);
  const TensorView added = exec.scratch(x.dtype, {x.dim(0), x.dim(1)});
  call.x = x;
  attend(exec, memory, input, call, added);
  const PhaseScope phase(exec, moe_ != nullptr ? "moe block" : "ffn block");
  join(exec, memory, input, added, call);
  if (moe_ != nullptr) {
    const MoeInput moe{call.ffn_input,       input.token_mask, input.shape.batch,
                       input.shape.training, input.all,        input.token_ids};
    moe_->forward(exec, moe, sums, call.moe, added);
  } else {
    dense_->forward(exec, input.all->batch(call.ffn_input), call.ffn, added);
  }
  const double rate = input.shape.training ? dropout_ : 0;
  ops::dropout_add(exec, "ffn_dropout", rate, added, call.middle, y);
}

void DecoderLayer::compute_again(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                                 LayerCall& call) const {
  if (memory.policy == Recompute::kNone) return;
  const PhaseScope phase(exec, "recomputation");
  const ArenaScope scratch(*exec.impl().scratch);
  const TensorView added = exec.scratch(call.x.dtype, {call.x.dim(0), call.x.dim(1)});
  if (memory.attention_again()) attend(exec, memory, input, call, added);
  if (memory.stream_again()) join(exec, memory, input, added, call);
  if (!memory.experts_again()) return;
  if (moe_ != nullptr) return moe_->compute_again(exec, call.ffn_input, call.moe, added);
  call.ffn.tensors.clear();
  dense_->forward(exec, input.all->batch(call.ffn_input), call.ffn, added);
}

/// The gradient behind a dropout: dy itself where nothing is dropped.
TensorView DecoderLayer::dropped(Exec& exec, RngKey key, bool training, TensorView dy) const {
  if (!training || dropout_ == 0) return dy;
  const TensorView inner = exec.scratch(dy.dtype, {dy.dim(0), dy.dim(1)});
  ops::dropout_backward(exec, key, dropout_, dy, inner);
  return inner;
}

void DecoderLayer::backward(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                            const MoeLossWeights& weights, LayerCall& call, TensorView dy) const {
  const LayerScope scope(exec, layer_);
  const ArenaScope again(memory.again);
  compute_again(exec, memory, input, call);
  const bool training = input.shape.training;
  const TensorView dinput = exec.scratch(dy.dtype, {dy.dim(0), dy.dim(1)});
  {
    const PhaseScope phase(exec, moe_ != nullptr ? "moe block backward" : "ffn block backward");
    const TensorView dffn = dropped(exec, "ffn_dropout", training, dy);
    if (moe_ != nullptr) {
      moe_->backward(exec, weights, call.moe, dffn, dinput);
    } else {
      dense_->backward(exec, input.all->batch(call.ffn_input), call.ffn, dffn, dinput);
    }
    ffn_norm_.backward(exec, call.middle, call.ffn_norm, dinput, dy, dy);
  }
  const PhaseScope phase(exec, "attention block backward");
  const TensorView dattention = dropped(exec, "attention_output_dropout", training, dy);
  attention_.backward(exec, input.shape, call.attention, dattention, dinput);
  attention_norm_.backward(exec, call.x, call.attention_norm, dinput, dy, dy);
}

double DecoderLayer::flops_per_token(int64_t sequence) const {
  return attention_.flops_per_token(sequence) +
         (moe_ != nullptr ? moe_->flops_per_token() : dense_->flops_per_token());
}

}  // namespace moiety
