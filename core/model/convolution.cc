#include "core/model/convolution.h"

#include "core/model/layer_scope.h"
#include "core/ops/convolution.h"

namespace moiety {

namespace {

int64_t patch_size(const Convolution::Form& f) {
  return Convolution::kKernel * Convolution::kKernel * f.channels;
}

Linear::Form linear_form(const Convolution::Form& f) {
  Linear::Form linear;
  linear.in = patch_size(f), linear.out = f.out;
  return linear;
}

}  // namespace

Convolution::Convolution(ParameterTable& table, const std::string& name, const Form& form)
    : form_(form), linear_(table, name, linear_form(form), -1) {}

TensorView Convolution::forward(Exec& exec, Arena& memory, ConstTensorView x,
                                ConvolutionCall& call) const {
  const int64_t B = x.dim(0), H = form_.conv_height(), W = form_.conv_width();
  call.x = x;
  call.patches = memory.make(x.dtype, {B * H * W, patch_size(form_)});
  call.y = memory.make(x.dtype, {B, H, W, form_.out});
  ops::unfold(exec, kKernel, x, call.patches);
  linear_.forward(exec, call.patches, call.y.reshape({B * H * W, form_.out}));
  const TensorView out =
      memory.make(x.dtype, {B, form_.out_height(), form_.out_width(), form_.out});
  ops::relu_max_pool(exec, call.y, out);
  return out;
}

void Convolution::backward(Exec& exec, const ConvolutionCall& call, ConstTensorView dout,
                           TensorView dx) const {
  const LayerScope scope(exec, 0);
  const int64_t B = call.x.dim(0), H = form_.conv_height(), W = form_.conv_width();
  const TensorView dy = exec.scratch(dout.dtype, {B, H, W, form_.out});
  ops::relu_max_pool_backward(exec, call.y, dout, dy);
  TensorView dpatches;
  if (dx) dpatches = exec.scratch(dout.dtype, {B * H * W, patch_size(form_)});
  linear_.backward(exec, call.patches, dy.reshape({B * H * W, form_.out}), dpatches);
  if (dx) ops::unfold_backward(exec, kKernel, dpatches, dx);
}

double Convolution::flops() const {
  return 2.0 * static_cast<double>(form_.conv_height() * form_.conv_width() * patch_size(form_) *
                                   form_.out);
}

}  // namespace moiety
