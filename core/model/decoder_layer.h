// A pre-norm decoder layer: h = x + attention(norm(x)), y = h + ffn(norm(h)), with dropout on what
// is added. The ffn is dense or a Mixture of Experts.
#pragma once

#include <cstdint>
#include <memory>

#include "core/model/attention_block.h"
#include "core/model/dense_ffn.h"
#include "core/model/moe_layer.h"
#include "core/model/norm.h"
#include "core/model/recompute.h"

namespace moiety {

/// What one forward leaves for its backward.
struct LayerCall {
  explicit LayerCall(const LayerMemory& memory)
      : ffn(memory.of(memory.experts_again())), moe(memory.kept, *ffn.arena) {}
  ConstTensorView x;                              // [T, D], input of the layer
  TensorView attention_input, middle, ffn_input;  // [T, D]
  TensorView attention_norm, ffn_norm;            // statistics
  AttentionCall attention;
  Saved::Impl ffn;  // of a dense layer
  MoeCall moe;      // of a MoE layer
};

/// What all layers of a micro-batch share.
struct DecoderInput {
  BatchShape shape;
  ConstTensorView token_mask;  // u8 [T] or empty
  const AllRows* all = nullptr;
  ConstTensorView token_ids;  // i32 [T]
  ops::Documents documents;   // where model.documents tells them apart
};

class DecoderLayer {
 public:
  /// Declares under "layers.N". `moe` makes a MoE layer of it; null = dense.
  DecoderLayer(ParameterTable& table, const ModelConfig& config, int64_t layer,
               const ModelDims& moe_dims, MoeParts* moe);

  /// Writes y [T, D]. `sums` only for MoE layers.
  void forward(Exec& exec, const LayerMemory& memory, const DecoderInput& input, ConstTensorView x,
               const MoeSums& sums, LayerCall& call, TensorView y) const;
  /// Turns the gradient of y into that of x, in place. `memory` as in forward.
  void backward(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                const MoeLossWeights& weights, LayerCall& call, TensorView dy) const;

  const MoeLayer* moe() const { return moe_.get(); }
  double flops_per_token(int64_t sequence) const;

 private:
  /// Up to the attention's output, [T, D].
  void attend(Exec& exec, const LayerMemory& memory, const DecoderInput& input, LayerCall& call,
              TensorView out) const;
  /// Adds that output to the layer's input, up to the ffn's input.
  void join(Exec& exec, const LayerMemory& memory, const DecoderInput& input, TensorView added,
            LayerCall& call) const;
  /// What the forward dropped.
  void compute_again(Exec& exec, const LayerMemory& memory, const DecoderInput& input,
                     LayerCall& call) const;
  TensorView dropped(Exec& exec, RngKey key, bool training, TensorView dy) const;

  int64_t layer_;
  double dropout_;
  Norm attention_norm_;
  AttentionBlock attention_;
  Norm ffn_norm_;
  std::unique_ptr<DenseFfn> dense_;
  std::unique_ptr<MoeLayer> moe_;
};

NormKind norm_kind(const ModelConfig& config);

}  // namespace moiety
