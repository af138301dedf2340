// Causal self-attention, in tiles: scores are never held whole. Rows of q, k, v are tokens of
// `batch` sequences, one after the other.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

struct AttentionShape {
  int64_t batch = 1, sequence = 1;
  int64_t heads = 1, kv_heads = 1;  // heads % kv_heads == 0: a group shares keys and values
  int64_t head_dim = 1;
  double scale = 1;    // of the scores, 1 / sqrt(head_dim)
  double dropout = 0;  // of the probabilities; key "attention_dropout"
};

/// qkv [T, (heads + 2 kv_heads) head_dim] holds q, k, v side by side; out [T, heads * head_dim];
/// log_sum f32 [T, heads] for backward.
MOIETY_API void attention(Exec&, const AttentionShape&, ConstTensorView qkv, TensorView out,
                          TensorView log_sum);
MOIETY_API void attention_backward(Exec&, const AttentionShape&, ConstTensorView qkv,
                                   ConstTensorView out, ConstTensorView log_sum,
                                   ConstTensorView dout, TensorView dqkv);

/// Rotates q and k in place by position t % sequence, halves (i, i + head_dim / 2) paired as in
/// Llama and Mixtral. `inverse` rotates back: the backward.
MOIETY_API void rope(Exec&, const AttentionShape&, double theta, bool inverse, TensorView qkv);

}  // namespace moiety::ops
