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

  /// Whether the logits are forced, whatever the weights.
  bool forced() const { return config_.forced != ForcedRouting::kNone; }
  /// x [T, D] as the router reads it: x itself, or f32 in scratch memory with the noise.
  ConstTensorView input(Exec& exec, ConstTensorView x, bool training) const;
  void forward(Exec& exec, ConstTensorView input, TensorView logits /*f32 [T, E]*/) const;
  /// Gradient of the weight, and dx [T, D] (any dtype) += the gradient with respect to x; none
  /// where the routing is forced.
  void backward(Exec& exec, ConstTensorView input, ConstTensorView dlogits, bool training,
                TensorView dx) const;

 private:
  Parameter weight_;
  RouterConfig config_;
  double jitter_;
};

}  // namespace moiety
