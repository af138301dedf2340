// Causal self-attention, in tiles: scores are never held whole. Rows of q, k, v are tokens of
// `batch` sequences, one after the other. On CUDA cuDNN computes what it has kernels for, the
// core's own the rest (docs/kernels/attention.md).
#pragma once

#include <cstdint>

#include <moiety/exec.h>

#include "core/ops/documents.h"
#include "core/ops/rope_scaling.h"

namespace moiety::ops {

struct AttentionShape {
  int64_t batch = 1, sequence = 1;
  int64_t heads = 1, kv_heads = 1;  // heads % kv_heads == 0: a group shares keys and values
  int64_t head_dim = 1;             // hd, of queries and keys
  double scale = 1;                 // of the scores, 1 / sqrt(head_dim)
  double dropout = 0;               // of the probabilities; key "attention_dropout"
  int64_t value_dim = 0;            // vd, of values and outputs; 0 = head_dim
  bool own_kernels = false;         // on CUDA the core's own, though a library has some: for tests

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
  /// Columns of q, k and v side by side, where those of a key/value head begin, and of the output.
  int64_t qkv_width() const { return value_column(kv_heads); }
  int64_t key_column(int64_t kv) const { return (heads + kv) * head_dim; }
  int64_t value_column(int64_t kv) const { return key_column(kv_heads) + kv * values(); }
  int64_t out_width() const { return heads * values(); }
};

/// qkv [T, heads hd + kv_heads hd + kv_heads vd] holds q, k, v side by side; out [T, heads vd];
/// log_sum f32 [batch, heads, sequence], contiguous, for backward. A token sees its document up to
/// itself; without `documents` a sequence is one.
MOIETY_API void attention(Exec&, const AttentionShape&, ConstTensorView qkv, TensorView out,
                          TensorView log_sum, const Documents& documents = {});
/// Writes dqkv, all of it. Equal bits on repetition, but for cuDNN's backward on CUDA where
/// Exec::Impl::deterministic is off.
MOIETY_API void attention_backward(Exec&, const AttentionShape&, ConstTensorView qkv,
                                   ConstTensorView out, ConstTensorView log_sum,
                                   ConstTensorView dout, TensorView dqkv,
                                   const Documents& documents = {});

/// Which numbers of a head turn: n = `size` of them from `begin` on, in pairs, pair i by the angle
/// position * theta^(-2 i / n).
struct RopeForm {
  double theta = 10000;
  int64_t begin = 0, size = 0;  // size 0: up to the end of the head
  bool interleaved = false;     // pairs (2 i, 2 i + 1); else (i, i + n / 2), as in Llama
  RopeScaling scaling = {};
};

/// Rotates q and k in place by position t % sequence - starts[t], starts 0 where it is empty (Su et
/// al., 2021), and multiplies what it turns by scaling.magnitude. `inverse` rotates the other way
/// and multiplies too: the backward.
MOIETY_API void rope(Exec&, const AttentionShape&, const RopeForm&, bool inverse, TensorView qkv,
                     ConstTensorView starts = {});

}  // namespace moiety::ops
