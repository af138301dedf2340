// Layer norm or RMS norm with its parameters.
#pragma once

#include <cstdint>
#include <string>

#include "core/model/parameter_table.h"

namespace moiety {

enum class NormKind : uint8_t { kLayerNorm, kRmsNorm };

/// A vector of a norm: f32 [width], never decayed.
Parameter add_norm_vector(ParameterTable& table, const std::string& name, Init init, int64_t width,
                          int64_t layer);

class Norm {
 public:
  /// Declares "name.weight" [D] and, for a layer norm with `bias`, "name.bias" [D].
  Norm(ParameterTable& table, const std::string& name, NormKind kind, double eps, int64_t width,
       bool bias, int64_t layer);

  /// y [T, D] and what backward needs, f32 [T, 2] or [T, 1].
  void forward(Exec& exec, ConstTensorView x, TensorView y, TensorView statistics) const;
  /// The same of sum = x + added.
  void forward(Exec& exec, ConstTensorView x, ConstTensorView added, TensorView sum, TensorView y,
               TensorView statistics) const;
  /// dx = gradient + residual (or empty = 0); dx may alias residual.
  void backward(Exec& exec, ConstTensorView x, ConstTensorView statistics, ConstTensorView dy,
                ConstTensorView residual, TensorView dx) const;
  int64_t statistics() const { return kind_ == NormKind::kLayerNorm ? 2 : 1; }

 private:
  NormKind kind_;
  double eps_;
  Parameter weight_, bias_;
  bool has_bias_;
};

}  // namespace moiety
