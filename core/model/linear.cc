// Linear layers.
#include "core/model/linear.h"

#include "core/model/layer_scope.h"
#include "core/ops/elementwise.h"
#include "core/ops/fp8_products.h"
#include "core/ops/gemm.h"

namespace moiety {

void weight_grad(Exec& exec, ConstTensorView x, ConstTensorView dy, const Parameter& weight) {
  if (weight.grad_mode() == GradMode::kNone) return;
  const bool accumulate = weight.grad_mode() == GradMode::kAccumulate;
  if (ops::runs_in_fp8(exec, x) && ops::runs_in_fp8(exec, dy)) {
    return ops::fp8_weight_gradient(exec, x, dy, weight.grad(), accumulate);
  }
  ops::gemm(exec, x, dy, weight.grad(), {.transpose_a = true, .accumulate = accumulate});
}

namespace {

Parameter add_weight(ParameterTable& table, const std::string& name, const Linear::Form& form,
                     int64_t layer) {
  ParamSpec spec;
  spec.shape = {form.in, form.out};
  spec.fan_in = form.in;
  spec.residual_output = form.residual_output;
  spec.tensor_parallel_axis = form.tensor_parallel_axis;
  Parameter::Impl* weight = table.add(name + ".weight", spec, layer);
  weight->compute_gradient = true;
  return Parameter(weight);
}

Parameter add_bias(ParameterTable& table, const std::string& name, const Linear::Form& form,
                   int64_t layer) {
  if (!form.bias) return Parameter(nullptr);
  ParamSpec spec;
  spec.shape = {form.out};
  spec.init = Init::kZeros;
  spec.decay = false;
  spec.keep_f32 = true;
  spec.tensor_parallel_axis = form.tensor_parallel_axis == 1 ? 0 : -1;
  return Parameter(table.add(name + ".bias", spec, layer));
}

}  // namespace

Linear::Linear(ParameterTable& table, const std::string& name, const Form& form, int64_t layer)
    : weight_(add_weight(table, name, form, layer)),
      bias_(add_bias(table, name, form, layer)),
      has_bias_(form.bias) {}

void Linear::forward(Exec& exec, ConstTensorView x, TensorView y) const {
  const Fp8Scope fp8(exec, exec.impl().fp8_parts.dense);
  const ConstTensorView bias = has_bias_ ? ConstTensorView(bias_.value()) : ConstTensorView();
  if (ops::runs_in_fp8(exec, x)) return ops::fp8_product(exec, x, weight_.value(), bias, y);
  ops::gemm(exec, x, weight_.value(), y, {.bias = bias});
}

void Linear::backward(Exec& exec, ConstTensorView x, ConstTensorView dy, TensorView dx) const {
  const Fp8Scope fp8(exec, exec.impl().fp8_parts.dense);
  if (has_bias_) ops::bias_grad(exec, dy, bias_);
  weight_grad(exec, x, dy, weight_);
  if (!dx) return;
  if (ops::runs_in_fp8(exec, dy)) return ops::fp8_input_gradient(exec, dy, weight_.value(), dx);
  ops::gemm(exec, dy, weight_.value(), dx, {.transpose_b = true});
}

}  // namespace moiety
