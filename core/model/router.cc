// Router products and the noise on their input.
#include "core/model/router.h"

#include <moiety/ops.h>

#include "core/model/linear.h"
#include "core/ops/branch.h"
#include "core/ops/gemm.h"
#include "core/ops/router.h"
#include "core/ops/routing.h"

namespace moiety {

/// x in f32: x itself, or a converted copy in scratch memory.
static ConstTensorView in_f32(Exec& exec, ConstTensorView x) {
  if (x.dtype == DType::kF32) return x;
  const TensorView x32 = exec.scratch(DType::kF32, {x.dim(0), x.dim(1)});
  ops::copy(exec, x, x32);
  return x32;
}

static Parameter add_router(ParameterTable& table, const std::string& prefix,
                            const ModelDims& dims) {
  ParamSpec spec;
  spec.shape = {dims.model, dims.experts};
  spec.fan_in = dims.model;
  spec.keep_f32 = true;
  return Parameter(table.add(prefix + ".weight", spec, dims.layer));
}

Router::Router(ParameterTable& table, const std::string& prefix, const ModelDims& dims,
               const RouterConfig& config, double gate_jitter)
    : weight_(add_router(table, prefix, dims)),
      config_(config),
      jitter_(config.input_jitter > 0 ? config.input_jitter : gate_jitter) {}

ConstTensorView Router::input(Exec& exec, ConstTensorView x, bool training) const {
  if (jitter_ == 0 || !training) return x;
  const TensorView noisy = exec.scratch(DType::kF32, {x.dim(0), x.dim(1)});
  ops::jitter(exec, jitter_, x, noisy);
  return noisy;
}

void Router::forward(Exec& exec, ConstTensorView input, TensorView logits) const {
  if (config_.f64) {
    ops::router_product(exec, in_f32(exec, input), weight_.value(), logits);
  } else {
    ops::gemm(exec, input, weight_.value(), logits);
  }
  // The product is computed all the same: a benchmark times what a real step does.
  if (config_.forced == ForcedRouting::kBalanced) ops::force_balanced(exec, logits);
  if (config_.forced == ForcedRouting::kZipf) ops::force_zipf(exec, config_.zipf_exponent, logits);
}

void Router::backward(Exec& exec, ConstTensorView input, ConstTensorView dlogits, bool training,
                      TensorView dx) const {
  if (forced()) {
    const TensorView none = exec.scratch(DType::kF32, {dlogits.dim(0), dlogits.dim(1)});
    ops::fill(exec, none, 0);
    dlogits = none;
  }
  if (!config_.f64) {
    weight_grad(exec, input, dlogits, weight_);
  } else if (weight_.grad()) {
    const bool accumulate = weight_.grad_mode() == GradMode::kAccumulate;
    ops::router_weight_grad(exec, in_f32(exec, input), dlogits, accumulate, weight_.grad());
  }
  const bool noisy = jitter_ != 0 && training;
  if (!config_.f64 && !noisy) {
    return ops::gemm(exec, dlogits, weight_.value(), dx, {.transpose_b = true, .accumulate = true});
  }
  const TensorView dinput = exec.scratch(DType::kF32, {dx.dim(0), dx.dim(1)});
  if (config_.f64) {
    ops::router_input_grad(exec, dlogits, weight_.value(), dinput);
  } else {
    ops::gemm(exec, dlogits, weight_.value(), dinput, {.transpose_b = true});
  }
  if (noisy) ops::jitter(exec, jitter_, dinput, dinput);
  ops::accumulate(exec, dinput, dx);
}

}  // namespace moiety
