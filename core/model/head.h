// Final norm, product with the vocabulary, loss and its gradient, by blocks of rows: the logits of
// a batch are never whole, and their gradient takes their place.
#pragma once

#include <cstdint>

#include "core/config/run_config.h"
#include "core/model/model.h"
#include "core/model/norm.h"

namespace moiety {

class Head {
 public:
  /// Declares "final_norm.*" and, when untied, "head.weight" [D, V]. `token` [V, D] serves as the
  /// head when tied.
  Head(ParameterTable& table, const ModelConfig& config, const Parameter& token);

  /// Loss of x [T, D] into sums. With dx [T, D]: its gradient and the parameters' too.
  void loss(Exec& exec, const MicroBatch& batch, const Objective& objective, ConstTensorView x,
            const StepSums& sums, TensorView dx) const;
  /// out [T, V], f32 or as x.
  void logits(Exec& exec, ConstTensorView x, TensorView out) const;
  bool tied() const { return tied_; }
  double flops_per_token() const { return 2.0 * static_cast<double>(width_ * vocab_); }

 private:
  void block_logits(Exec& exec, ConstTensorView h, TensorView out) const;
  void block_gradient(Exec& exec, ConstTensorView h, ConstTensorView dlogits, bool first,
                      TensorView dh) const;

  int64_t width_, vocab_;
  bool tied_;
  Norm norm_;
  Parameter weight_;
};

}  // namespace moiety
