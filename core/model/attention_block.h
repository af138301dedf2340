// Multi-head attention with its projections: qkv product, rotation, attention, output product.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/run_config.h"
#include "core/model/linear.h"
#include "core/ops/attention.h"

namespace moiety {

/// Sequences in flight and whether they train.
struct BatchShape {
  int64_t batch = 1, sequence = 1;
  bool training = true;
  int64_t rows() const { return batch * sequence; }
};

/// What one forward leaves for its backward.
struct AttentionCall {
  ConstTensorView x;        // [T, D], the block's input
  TensorView qkv, context;  // [T, (Hq + 2 Hkv) hd], [T, Hq hd]
  TensorView log_sum;       // f32 [T, Hq]
};

class AttentionBlock {
 public:
  /// Declares "prefix.qkv.{weight, bias}" and "prefix.out.{weight, bias}".
  AttentionBlock(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
                 int64_t layer);

  void forward(Exec& exec, Arena& memory, const BatchShape& shape, ConstTensorView x,
               AttentionCall& call, TensorView out) const;
  void backward(Exec& exec, const BatchShape& shape, const AttentionCall& call,
                ConstTensorView dout, TensorView dx) const;
  /// Forward FLOPs of a token in a sequence of `sequence`; half the keys on average.
  double flops_per_token(int64_t sequence) const;

 private:
  ops::AttentionShape attention_shape(const BatchShape& shape) const;
  int64_t qkv_width() const { return (heads_ + 2 * kv_heads_) * head_dim_; }

  int64_t width_, heads_, kv_heads_, head_dim_;
  bool rotate_;
  double theta_, dropout_;
  Linear qkv_, out_;
};

}  // namespace moiety
