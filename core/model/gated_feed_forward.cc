// y = (act(x W_gate) * (x W_up)) W_out, for all local experts at once.
#include <moiety/expert_ops.h>
#include <moiety/feed_forward.h>

#include "core/model/expert_weights.h"

namespace moiety {

GatedFeedForward::GatedFeedForward(const Form& form, const ModelDims& dims)
    : form_(form), dims_(dims) {}
GatedFeedForward::~GatedFeedForward() = default;

void GatedFeedForward::declare(Declarations& to) const {
  const int64_t L = dims_.local_experts, D = dims_.model, H = dims_.hidden;
  ParamSpec w_in;  // gate and up on an axis of their own: a cut of H cuts both
  w_in.name = "w_in";
  w_in.shape = {L, D, 2, H};
  w_in.fan_in = D;
  w_in.tensor_parallel_axis = 3;
  to.parameter(w_in);
  to.compute_gradient("w_in");
  ParamSpec w_out;
  w_out.name = "w_out";
  w_out.shape = {L, H, D};
  w_out.fan_in = H;
  w_out.residual_output = true;
  w_out.tensor_parallel_axis = 1;
  to.parameter(w_out);
  to.compute_gradient("w_out");
}

void GatedFeedForward::forward(Exec& exec, const ExpertBatch& batch, const Params& params,
                               TensorView y, Saved& saved) const {
  const int64_t N = y.dim(0), H = params["w_out"].value().dim(1);
  const TensorView h = saved.keep("h", y.dtype, {N, 2 * H}), a = exec.scratch(y.dtype, {N, H});
  ops::gated_expert_up(exec, batch, form_.activation, batch.x, weights(exec, params["w_in"]), h, a);
  ops::grouped_gemm(exec, batch, a, weights(exec, params["w_out"]), y);
}

void GatedFeedForward::backward(Exec& exec, const ExpertBatch& batch, const Params& params,
                                const Saved& saved, ConstTensorView dout, TensorView dx,
                                TensorView dweight) const {
  const Parameter w_in = params["w_in"], w_out = params["w_out"];
  const int64_t N = dx.dim(0), H = w_out.value().dim(1);
  const TensorView a = exec.scratch(dx.dtype, {N, H}), dh = exec.scratch(dx.dtype, {N, 2 * H});
  ops::gated_expert_down_backward(exec, batch, form_.activation, dout, weights(exec, w_out),
                                  saved["h"], dh, a, dweight);
  ops::grouped_gemm_grad_by_row(exec, batch, ops::ByRow::kDout, a, dout, w_out);
  ops::grouped_gemm_grad_by_row(exec, batch, ops::ByRow::kA, batch.x, dh, w_in);
  ops::grouped_gemm(exec, batch, dh, weights(exec, w_in), dx, ops::Transpose::kYes);
}

double GatedFeedForward::flops_per_token() const {
  return 6.0 * static_cast<double>(dims_.model * dims_.hidden);
}

}  // namespace moiety
