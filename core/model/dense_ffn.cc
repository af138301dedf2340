// Dense feed-forward layers.
#include "core/model/dense_ffn.h"

#include <moiety/feed_forward.h>

#include "core/model/layer_scope.h"

namespace moiety {

static std::unique_ptr<ExpertType> make_function(const ModelConfig& config, int64_t layer) {
  ModelDims dims;
  dims.model = config.hidden, dims.hidden = config.ffn_hidden;
  dims.experts = dims.local_experts = 1;
  dims.layer = layer, dims.layers = config.layers;
  if (config.activation == "swiglu") {
    return std::make_unique<GatedFeedForward>(GatedFeedForward::Form{}, dims);
  }
  FeedForward::Form form;
  form.bias = config.bias;
  if (config.activation == "relu") {
    form.activation = ops::Activation::kRelu;
  } else if (config.activation == "gelu") {
    form.activation = ops::Activation::kGelu;
  } else if (config.activation == "gelu_tanh") {
    form.activation = ops::Activation::kGeluTanh;
  } else {
    throw ConfigError("model.activation: '" + config.activation +
                      "' is unknown; expected relu, gelu, gelu_tanh or swiglu");
  }
  return std::make_unique<FeedForward>(form, dims);
}

DenseFfn::DenseFfn(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
                   int64_t layer)
    : function_(make_function(config, layer)),
      params_(table.declare(prefix, *function_, /*expert=*/false, layer)) {}

void DenseFfn::forward(Exec& exec, const ExpertBatch& batch, Saved::Impl& saved,
                       TensorView out) const {
  const Fp8Scope fp8(exec, exec.impl().fp8_parts.dense);
  Saved handle(&saved);
  function_->forward(exec, batch, Params(params_), out, handle);
}

void DenseFfn::backward(Exec& exec, const ExpertBatch& batch, Saved::Impl& saved,
                        ConstTensorView dout, TensorView dx) const {
  const Fp8Scope fp8(exec, exec.impl().fp8_parts.dense);
  function_->backward(exec, batch, Params(params_), Saved(&saved), dout, dx, {});
}

}  // namespace moiety
