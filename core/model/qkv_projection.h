// How a block's queries, keys and values come from its input: by one product, or through latents.
#pragma once

#include <memory>
#include <string>

#include "core/config/run_config.h"
#include "core/device/arena.h"
#include "core/model/parameter_table.h"
#include "core/ops/attention.h"

namespace moiety {

/// What one forward leaves for its backward. Hq, Hkv: heads; Rq, Rkv: widths of the latents.
struct QkvCall {
  // One product, with a norm of queries and keys.
  TensorView unnormed;        // [T, (Hq + Hkv) hd]
  TensorView q_rstd, k_rstd;  // f32 [T, groups]
  // Latents.
  TensorView q_latent, q_normed;  // [T, Rq]
  TensorView kv_latent;           // [T, Rkv + rope]: the latent, and the turning part of the keys
  TensorView kv_normed;           // [T, Rkv]
  TensorView q_latent_rstd, kv_rstd;  // f32 [T, 1]
};

class QkvProjection {
 public:
  virtual ~QkvProjection() = default;
  /// Writes qkv [T, qkv_width] as ops::attention reads it, not yet turned.
  virtual void forward(Exec& exec, Arena& memory, ConstTensorView x, QkvCall& call,
                       TensorView qkv) const = 0;
  /// Writes dx [T, D] and the parameters' gradients. dqkv is overwritten.
  virtual void backward(Exec& exec, ConstTensorView x, const QkvCall& call, TensorView dqkv,
                        TensorView dx) const = 0;
  virtual double flops_per_token() const = 0;  ///< forward
};

/// Heads, head dimensions and scale of a configuration; batch and sequence are 1.
ops::AttentionShape attention_shape(const ModelConfig& config);

/// Declares "prefix.qkv.{weight, bias}" [D, qkv_width] and, with model.qk_norm,
/// "prefix.{q_norm, k_norm}.weight" [hd] or [heads hd]; or what LatentQkv declares.
std::unique_ptr<QkvProjection> make_qkv_projection(ParameterTable& table, const std::string& prefix,
                                                   const ModelConfig& config, int64_t layer);

}  // namespace moiety
