// Norms.
#include "core/model/norm.h"

#include "core/ops/norm.h"

namespace moiety {

Parameter add_norm_vector(ParameterTable& table, const std::string& name, Init init, int64_t width,
                          int64_t layer) {
  ParamSpec spec;
  spec.shape = {width};
  spec.init = init;
  spec.decay = false;
  spec.keep_f32 = true;
  return Parameter(table.add(name, spec, layer));
}

Norm::Norm(ParameterTable& table, const std::string& name, NormKind kind, double eps, int64_t width,
           bool bias, int64_t layer)
    : kind_(kind),
      eps_(eps),
      weight_(add_norm_vector(table, name + ".weight", Init::kOnes, width, layer)),
      bias_(nullptr),
      has_bias_(bias && kind == NormKind::kLayerNorm) {
  if (has_bias_) bias_ = add_norm_vector(table, name + ".bias", Init::kZeros, width, layer);
}

void Norm::forward(Exec& exec, ConstTensorView x, TensorView y, TensorView statistics) const {
  if (kind_ == NormKind::kRmsNorm) {
    ops::rms_norm(exec, eps_, x, weight_.value(), y, statistics);
    return;
  }
  const TensorView bias = has_bias_ ? bias_.value() : TensorView{};
  ops::layer_norm(exec, eps_, x, weight_.value(), bias, y, statistics);
}

void Norm::forward(Exec& exec, ConstTensorView x, ConstTensorView added, TensorView sum,
                   TensorView y, TensorView statistics) const {
  if (kind_ == NormKind::kRmsNorm) {
    ops::add_rms_norm(exec, eps_, x, added, weight_.value(), sum, y, statistics);
    return;
  }
  const TensorView bias = has_bias_ ? bias_.value() : TensorView{};
  ops::add_layer_norm(exec, eps_, x, added, weight_.value(), bias, sum, y, statistics);
}

void Norm::backward(Exec& exec, ConstTensorView x, ConstTensorView statistics, ConstTensorView dy,
                    ConstTensorView residual, TensorView dx) const {
  if (kind_ == NormKind::kRmsNorm) {
    ops::rms_norm_backward(exec, x, weight_, statistics, dy, residual, dx);
  } else {
    ops::layer_norm_backward(exec, x, weight_, has_bias_ ? &bias_ : nullptr, statistics, dy,
                             residual, dx);
  }
}

}  // namespace moiety
