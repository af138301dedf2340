// What each backend of attention computes; attention.cc has checked the shapes.
#pragma once

#include <cstdint>

#include "core/ops/attention.h"

namespace moiety::ops {

/// Key of the dropout of probabilities: row = token of the query, column = probability_column().
inline Rng attention_noise(Exec& exec) { return exec.rng("attention_dropout"); }

/// Noise column of (head, key 4 * block): whole blocks of four keys, so that a block of noise never
/// spans two heads. Column / 4.
MOIETY_HD inline int64_t noise_block(int64_t head, int64_t sequence, int64_t key) {
  return head * ((sequence + 3) / 4) + key / 4;
}

/// Where the rows of (sequence, head) begin in log_sum [batch, heads, sequence]; `first` is the
/// sequence's first token.
MOIETY_HD inline int64_t log_sum_begin(int64_t first, int64_t heads, int64_t head,
                                       int64_t sequence) {
  return first * heads + head * sequence;
}

namespace cpu {
void attention(Exec&, const AttentionShape&, ConstTensorView qkv, TensorView out,
               TensorView log_sum, const Documents& documents);
void attention_backward(Exec&, const AttentionShape&, ConstTensorView qkv, ConstTensorView out,
                        ConstTensorView log_sum, ConstTensorView dout, TensorView dqkv,
                        const Documents& documents);
}  // namespace cpu
namespace cuda {
void attention(Exec&, const AttentionShape&, ConstTensorView qkv, TensorView out,
               TensorView log_sum, const Documents& documents);
void attention_backward(Exec&, const AttentionShape&, ConstTensorView qkv, ConstTensorView out,
                        ConstTensorView log_sum, ConstTensorView dout, TensorView dqkv,
                        const Documents& documents);
/// The core's own kernels: any architecture, dtype, head dimension, with dropout. With
/// `unlisted_only`, where the listed documents (Documents::begins) have been computed otherwise,
/// for the rest: it may write their last tile again, and reads what it wrote.
void tiled_attention(Exec&, const AttentionShape&, ConstTensorView qkv, TensorView out,
                     TensorView log_sum, const Documents& documents, bool unlisted_only);
void tiled_attention_backward(Exec&, const AttentionShape&, ConstTensorView qkv,
                              ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                              TensorView dqkv, const Documents& documents, bool unlisted_only);
}  // namespace cuda

}  // namespace moiety::ops
