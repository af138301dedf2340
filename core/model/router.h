// The linear map from tokens to expert logits, in f32 whatever the model computes in.
#pragma once

#include <string>

#include "core/config/run_config.h"
#include "core/model/parameter_table.h"

namespace moiety {

class Router {
 public:
  /// Declares "prefix.weight" f32 [D, E]. `gate_jitter` is the half width of the noise that the
  /// gate's definition multiplies the input by while training (DeepSpeed's Jitter policy; the
  /// noise's key is "jitter"); config.input_jitter takes its place where it is not 0.
  Router(ParameterTable& table, const std::string& prefix, const ModelDims& dims,
         const RouterConfig& config, double gate_jitter);

  /// x [T, D] in f32, as the router reads it, in scratch memory (x itself where it can be).
  ConstTensorView input(Exec& exec, ConstTensorView x, bool training) const;
  void forward(Exec& exec, ConstTensorView input, TensorView logits /*f32 [T, E]*/) const;
  /// Gradient of the weight, and dx f32 [T, D] with respect to x; 0 where the routing is forced.
  void backward(Exec& exec, ConstTensorView input, ConstTensorView dlogits, bool training,
                TensorView dx) const;

 private:
  Parameter weight_;
  RouterConfig config_;
  double jitter_;
};

/// x in f32: x itself, or a converted copy in scratch memory.
ConstTensorView in_f32(Exec& exec, ConstTensorView x);

}  // namespace moiety
