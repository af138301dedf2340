// Embeddings.
#include "core/model/token_embedding.h"

#include "core/base/check.h"
#include "core/device/phase_timer.h"
#include "core/model/layer_scope.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"

namespace moiety {

static Parameter add_table(ParameterTable& table, const std::string& name, int64_t rows,
                           int64_t width) {
  ParamSpec spec;
  spec.shape = {rows, width};
  spec.fan_in = width;
  return Parameter(table.add(name, spec));
}

TokenEmbedding::TokenEmbedding(ParameterTable& table, const ModelConfig& config)
    : dropout_(config.dropout),
      restart_positions_(config.documents.restart_positions),
      token_(add_table(table, "embedding.token", config.vocab_size, config.hidden)) {
  if (config.positions == "learned") {
    position_ = add_table(table, "embedding.position", config.sequence_length, config.hidden);
  } else if (config.positions != "rope" && config.positions != "none") {
    throw ConfigError("model.positions: '" + config.positions +
                      "' is unknown; expected learned, rope or none");
  }
}

ConstTensorView TokenEmbedding::restarts(const ops::Documents& documents) const {
  return position_ && restart_positions_ ? documents.starts : ConstTensorView{};
}

void TokenEmbedding::forward(Exec& exec, const BatchShape& shape, const ops::Documents& documents,
                             ConstTensorView ids, TensorView out) const {
  const PhaseScope phase(exec, "embedding");
  const LayerScope scope(exec, 0);
  TensorView position;
  if (position_) {
    position = position_->value();
    MOIETY_CHECK(shape.sequence <= position.dim(0),
                 "a sequence of {} tokens needs {} learned positions; the model has {} "
                 "(model.sequence_length)",
                 shape.sequence, shape.sequence, position.dim(0));
  }
  ops::embedding(exec, ids, shape.sequence, token_.value(), position, out, restarts(documents));
  if (shape.training && dropout_ > 0) {
    ops::dropout_add(exec, "embedding_dropout", dropout_, out, {}, out);
  }
}

void TokenEmbedding::backward(Exec& exec, const BatchShape& shape, const ops::Documents& documents,
                              ConstTensorView ids, TensorView dy, bool token_accumulate) const {
  const PhaseScope phase(exec, "embedding backward");
  const LayerScope scope(exec, 0);
  if (shape.training && dropout_ > 0) {
    ops::dropout_backward(exec, "embedding_dropout", dropout_, dy, dy);
  }
  ops::embedding_backward(exec, ids, shape.sequence, dy, token_, position_ ? &*position_ : nullptr,
                          token_accumulate, restarts(documents));
}

}  // namespace moiety
