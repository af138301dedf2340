// y = x W + b: the plain products of the model and their gradients.
#pragma once

#include <cstdint>
#include <string>

#include "core/model/parameter_table.h"

namespace moiety {

/// Gradient of y = x W with respect to W [in, out], as its grad_mode() says; nothing when frozen.
void weight_grad(Exec& exec, ConstTensorView x, ConstTensorView dy, const Parameter& weight);

class Linear {
 public:
  struct Form {
    int64_t in = 0, out = 0;
    bool bias = true;
    bool residual_output = false;
    int tensor_parallel_axis = -1;  // of the weight
  };
  /// Declares "name.weight" [in, out] and "name.bias" [out].
  Linear(ParameterTable& table, const std::string& name, const Form& form, int64_t layer);

  void forward(Exec& exec, ConstTensorView x, TensorView y) const;
  /// Writes dx (left out when empty) and the parameters' gradients.
  void backward(Exec& exec, ConstTensorView x, ConstTensorView dy, TensorView dx) const;

 private:
  Parameter weight_, bias_;
  bool has_bias_;
};

}  // namespace moiety
