// Mixing weights in f32, then the dense function on one segment of all rows.
#include "core/model/dense_branch.h"

#include "core/device/phase_timer.h"
#include "core/model/component_call.h"
#include "core/model/layer_scope.h"
#include "core/model/router.h"
#include "core/ops/branch.h"
#include "core/ops/elementwise.h"
#include "core/ops/gemm.h"

namespace moiety {

DenseMix::DenseMix(ParameterTable& table, const std::string& prefix, const LayerShape& shape,
                   const ModelDims& dims, std::shared_ptr<ExpertType> expert)
    : expert_(std::move(expert)),
      name_(describe(expert_)),
      dims_(dims),
      coefficient_(shape.dense == DenseBranch::kCoefficient),
      gated_(shape.dense == DenseBranch::kAdd && shape.dense_gate),
      params_(table.declare(prefix + ".dense", *expert_, /*expert=*/false, dims.layer)),
      weight_(nullptr),
      bias_(nullptr) {
  if (coefficient_) {
    weight_ = declare(table, prefix + ".coefficient.weight", {dims.model, 2}, true);
    bias_ = declare(table, prefix + ".coefficient.bias", {2}, false);
  }
  if (gated_) weight_ = declare(table, prefix + ".dense_gate.weight", {dims.model, 1}, true);
}

Parameter DenseMix::declare(ParameterTable& table, const std::string& name,
                            std::vector<int64_t> shape, bool decay) const {
  ParamSpec spec;
  spec.shape = std::move(shape);
  spec.init = Init::kUniform;
  spec.fan_in = dims_.model;
  spec.decay = decay;
  spec.keep_f32 = true;
  return Parameter(table.add(name, spec, dims_.layer));
}

void DenseMix::forward(Exec& exec, Arena& memory, const AllRows& all, ConstTensorView x,
                       TensorView routed, DenseCall& call, TensorView out) const {
  const int64_t T = x.dim(0), D = x.dim(1);
  if (weighted()) {
    const TensorView logits = exec.scratch(DType::kF32, {T, coefficient_ ? 2 : 1});
    ops::gemm(exec, x, weight_.value(), logits);
    call.second = memory.make(DType::kF32, {T});
    if (coefficient_) {
      call.first = memory.make(DType::kF32, {T});
      call.routed = routed;
      ops::add_bias(exec, bias_.value(), logits);
      ops::pair_softmax(exec, logits, call.first, call.second);
    } else {
      ops::sigmoid(exec, logits, call.second);
    }
  }
  const TensorView dense = exec.scratch(x.dtype, {T, D});
  Saved saved(&call.saved);
  {
    const PhaseScope phase(exec, "dense branch");
    const Fp8Scope fp8(exec, exec.impl().fp8_parts.dense);
    in_component(exec, name_, "forward (dense branch)", dims_.layer, [&] {
      expert_->forward(exec, all.batch(x, call.second), Params(params_), dense, saved);
    });
  }
  ops::mix_rows(exec, routed, call.first, dense, call.second, out);
}

ConstTensorView DenseMix::backward(Exec& exec, const AllRows& all, ConstTensorView x,
                                   DenseCall& call, ConstTensorView dout, TensorView dx,
                                   TensorView dx32) const {
  const int64_t T = x.dim(0), D = x.dim(1);
  TensorView dsecond;
  if (weighted()) dsecond = exec.scratch(DType::kF32, {T});
  {
    const PhaseScope phase(exec, "dense branch backward");
    const Fp8Scope fp8(exec, exec.impl().fp8_parts.dense);
    const ArenaScope scratch(*exec.impl().scratch);
    in_component(exec, name_, "backward (dense branch)", dims_.layer, [&] {
      expert_->backward(exec, all.batch(x, call.second), Params(params_), Saved(&call.saved), dout,
                        dx, dsecond);
    });
  }
  if (!weighted()) return dout;
  const TensorView dlogits = exec.scratch(DType::kF32, {T, coefficient_ ? 2 : 1});
  ConstTensorView drouted = dout;
  if (coefficient_) {
    const TensorView dfirst = exec.scratch(DType::kF32, {T});
    ops::row_dot(exec, all.batch(x), dout, call.routed, dfirst);
    ops::pair_softmax_backward(exec, call.first, call.second, dfirst, dsecond, dlogits);
    ops::bias_grad(exec, dlogits, bias_);
    const TensorView scaled = exec.scratch(dout.dtype, {T, D});
    ops::mix_rows(exec, dout, call.first, {}, {}, scaled);
    drouted = scaled;
  } else {
    ops::sigmoid_backward(exec, call.second, dsecond, dlogits);
  }
  weight_grad(exec, x, dlogits, weight_);
  ops::gemm(exec, dlogits, weight_.value(), dx32, {.transpose_b = true, .accumulate = true});
  return drouted;
}

double DenseMix::flops_per_token() const {
  const int64_t outputs = coefficient_ ? 2 : gated_ ? 1 : 0;
  return expert_->flops_per_token() + 2.0 * static_cast<double>(dims_.model * outputs);
}

}  // namespace moiety
