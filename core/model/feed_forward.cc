// y = act(x W_in + b_in) W_out + b_out, for all local experts at once.
#include <moiety/feed_forward.h>

#include <string>

#include <moiety/error.h>
#include <moiety/expert_ops.h>

#include "core/model/expert_weights.h"

namespace moiety {

ops::Activation activation_named(std::string_view name) {
  if (name == "gelu") return ops::Activation::kGelu;
  if (name == "gelu_tanh") return ops::Activation::kGeluTanh;
  if (name == "relu") return ops::Activation::kRelu;
  if (name == "relu_squared") return ops::Activation::kReluSquared;
  if (name == "silu") return ops::Activation::kSilu;
  throw Error("activation '" + std::string(name) +
              "' is unknown; expected gelu, gelu_tanh, relu, relu_squared or silu");
}

FeedForward::FeedForward(const Form& form, const ModelDims& dims) : form_(form), dims_(dims) {}
FeedForward::~FeedForward() = default;

void FeedForward::declare(Declarations& to) const {
  const int64_t L = dims_.local_experts, D = dims_.model, H = dims_.hidden;
  const auto matrix = [&](const char* name, int64_t rows, int64_t columns, int axis) {
    ParamSpec spec;
    spec.name = name;
    spec.shape = {L, rows, columns};
    spec.fan_in = rows;
    spec.tensor_parallel_axis = axis;
    return spec;
  };
  const auto bias = [&](const char* name, int64_t width, int axis) {
    ParamSpec spec;
    spec.name = name;
    spec.shape = {L, width};
    spec.init = Init::kZeros;
    spec.decay = false;
    spec.keep_f32 = true;
    spec.tensor_parallel_axis = axis;
    return spec;
  };
  to.parameter(matrix("w_in", D, H, 2));
  to.compute_gradient("w_in");
  if (form_.bias) to.parameter(bias("b_in", H, 1));
  ParamSpec w_out = matrix("w_out", H, D, 1);
  w_out.residual_output = true;
  to.parameter(w_out);
  to.compute_gradient("w_out");
  if (form_.bias) to.parameter(bias("b_out", D, -1));
}

void FeedForward::forward(Exec& exec, const ExpertBatch& batch, const Params& params, TensorView y,
                          Saved& saved) const {
  const int64_t N = y.dim(0), H = params["w_out"].value().dim(1);
  const TensorView h = saved.keep("h", y.dtype, {N, H}), a = exec.scratch(y.dtype, {N, H});
  const ConstTensorView b_in =
      form_.bias ? ConstTensorView(params["b_in"].value()) : ConstTensorView();
  ops::expert_up(exec, batch, form_.activation, batch.x, weights(exec, params["w_in"]), b_in, h, a);
  const ConstTensorView b_out =
      form_.bias ? ConstTensorView(params["b_out"].value()) : ConstTensorView();
  ops::expert_down(exec, batch, a, weights(exec, params["w_out"]), b_out, y);
}

void FeedForward::backward(Exec& exec, const ExpertBatch& batch, const Params& params,
                           const Saved& saved, ConstTensorView dout, TensorView dx,
                           TensorView dweight) const {
  const Parameter w_in = params["w_in"], w_out = params["w_out"];
  const int64_t N = dx.dim(0), H = w_out.value().dim(1);
  const TensorView a = exec.scratch(dx.dtype, {N, H}), dh = exec.scratch(dx.dtype, {N, H});
  ops::expert_down_backward(exec, batch, form_.activation, dout, weights(exec, w_out), saved["h"],
                            dh, a, dweight);
  ops::grouped_gemm_grad_by_row(exec, batch, ops::ByRow::kDout, a, dout, w_out);
  if (form_.bias) {
    const Parameter b_out = params["b_out"];
    if (dweight) ops::grouped_bias_dot(exec, batch, b_out.value(), dout, dweight);
    ops::grouped_bias_grad_by_row(exec, batch, dout, b_out);
    ops::grouped_bias_grad(exec, batch, dh, params["b_in"]);
  }
  ops::grouped_gemm_grad_by_row(exec, batch, ops::ByRow::kA, batch.x, dh, w_in);
  ops::grouped_gemm(exec, batch, dh, weights(exec, w_in), dx, ops::Transpose::kYes);
}

double FeedForward::flops_per_token() const {
  return 4.0 * static_cast<double>(dims_.model * dims_.hidden);
}

}  // namespace moiety
