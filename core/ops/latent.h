// What multi-head latent attention (DeepSeek-AI, 2024, arXiv:2405.04434, eq. 9-18) adds to
// attention: its queries, keys and values brought side by side.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

/// A head's query and key are a part without position beside one that turns; of the keys, the
/// turning part is one for all heads.
struct LatentShape {
  int64_t heads = 1;
  int64_t nope = 1, rope = 1;  // numbers of a query or key without position, and turning
  int64_t value = 1;
  int64_t head() const { return nope + rope; }
  int64_t q_width() const { return heads * head(); }
  int64_t kv_width() const { return heads * (nope + value); }
  int64_t qkv_width() const { return 2 * q_width() + heads * value; }
};

/// qkv [T, qkv_width] as ops::attention reads it, from q [T, q_width], kv [T, kv_width], which
/// holds each head's key and value side by side, and k_rope [T, rope]. Rows may be strided.
MOIETY_API void latent_qkv(Exec&, const LatentShape&, ConstTensorView q, ConstTensorView kv,
                           ConstTensorView k_rope, TensorView qkv);
/// The gradients of all three; that of k_rope is summed over the heads in f32.
MOIETY_API void latent_qkv_backward(Exec&, const LatentShape&, ConstTensorView dqkv, TensorView dq,
                                    TensorView dkv, TensorView dk_rope);

}  // namespace moiety::ops
