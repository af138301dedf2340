// Multi-head attention with its projections: queries, keys and values (qkv_projection.h), rotation,
// attention, output product.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/config/run_config.h"
#include "core/model/linear.h"
#include "core/model/qkv_projection.h"
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
  TensorView qkv, context;  // [T, (Hq + Hkv) hd + Hkv vd], [T, Hq vd]
  TensorView log_sum;       // f32 [B, Hq, S]
  ops::Documents documents;
  QkvCall projection;
};

class AttentionBlock {
 public:
  /// Declares what its QkvProjection does, and "prefix.out.{weight, bias}".
  AttentionBlock(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
                 int64_t layer);

  /// `documents` is read where model.documents asks for it.
  void forward(Exec& exec, Arena& memory, const BatchShape& shape, const ops::Documents& documents,
               ConstTensorView x, AttentionCall& call, TensorView out) const;
  void backward(Exec& exec, const BatchShape& shape, const AttentionCall& call,
                ConstTensorView dout, TensorView dx) const;
  /// Forward FLOPs of a token in a sequence of `sequence`; half the keys on average.
  double flops_per_token(int64_t sequence) const;

 private:
  ops::AttentionShape attention_shape(const BatchShape& shape) const;
  /// What attention keeps apart, and where positions start again.
  ops::Documents apart(const AttentionCall& call) const;
  ConstTensorView restarts(const AttentionCall& call) const;

  int64_t width_;
  ops::AttentionShape shape_;  // of one token
  bool rotate_;
  ops::RopeForm rope_;
  double dropout_;
  DocumentsConfig documents_;
  std::unique_ptr<QkvProjection> qkv_;
  Linear out_;
};

}  // namespace moiety
