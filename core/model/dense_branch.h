// The dense part of a MoE layer: an expert function that every token passes, and how it is mixed
// with the routed part (LayerShape).
//
//   kAdd           out = routed + dense(x), or routed + sigmoid(x w) dense(x) with dense_gate
//   kCoefficient   out = c0 routed + c1 dense(x), c = softmax(x W + b): PR-MoE (Rajbhandari et al.,
//                  2022), as DeepSpeed's use_residual
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <moiety/expert_type.h>

#include "core/model/all_rows.h"
#include "core/model/linear.h"

namespace moiety {

/// What one forward leaves for its backward.
struct DenseCall {
  explicit DenseCall(Arena& memory) : saved(memory) {}
  Saved::Impl saved;
  TensorView routed;  // [T, D], kept for kCoefficient
  TensorView first;   // f32 [T]: weight of the routed part, or empty = 1
  TensorView second;  // f32 [T]: weight of the dense part, or empty = 1
};

class DenseMix {
 public:
  /// Declares "prefix.dense.*", and "prefix.coefficient.{weight, bias}" [D, 2], [2] or
  /// "prefix.dense_gate.weight" [D, 1], all f32.
  DenseMix(ParameterTable& table, const std::string& prefix, const LayerShape& shape,
           const ModelDims& dims, std::shared_ptr<ExpertType> expert);

  /// `routed` [T, D] is the routed part and may be the same memory as out.
  void forward(Exec& exec, Arena& memory, const AllRows& all, ConstTensorView x, TensorView routed,
               DenseCall& call, TensorView out) const;
  /// Gradient of the routed part, from that of the sum: dout itself, or a copy in scratch memory.
  /// Writes dx [T, D] of the dense function, and adds that of its weights to dx32, f32 [T, D].
  ConstTensorView backward(Exec& exec, const AllRows& all, ConstTensorView x, DenseCall& call,
                           ConstTensorView dout, TensorView dx, TensorView dx32) const;
  double flops_per_token() const;

 private:
  Parameter declare(ParameterTable& table, const std::string& name, std::vector<int64_t> shape,
                    bool decay) const;
  bool weighted() const { return coefficient_ || gated_; }

  std::shared_ptr<ExpertType> expert_;
  std::string name_;
  ModelDims dims_;
  bool coefficient_, gated_;
  Params::Impl* params_;
  Parameter weight_, bias_;
};

}  // namespace moiety
