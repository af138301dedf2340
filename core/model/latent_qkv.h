// Multi-head latent attention's projections (DeepSeek-AI, 2024, arXiv:2405.04434, eq. 9-18).
//
//   c_q  = norm(x W_dq)              q     = c_q W_uq           or q = x W_q without a latent
//   c_kv | k_rope = x W_dkv          k | v = norm(c_kv) W_ukv   per head, side by side
//
// A head's query and key have a part without position and one that turns; k_rope is one for all
// heads. Keys and values are computed whole: nothing here caches latents.
#pragma once

#include <optional>
#include <string>

#include "core/model/linear.h"
#include "core/model/norm.h"
#include "core/model/qkv_projection.h"
#include "core/ops/latent.h"

namespace moiety {

class LatentQkv final : public QkvProjection {
 public:
  /// Declares "prefix.q_down.weight" [D, Rq], "prefix.q_latent_norm.weight" [Rq] and
  /// "prefix.q_up.weight" [Rq, H (nope + rope)], or "prefix.q.weight" [D, H (nope + rope)] where
  /// q_lora_rank is 0; "prefix.kv_down.weight" [D, Rkv + rope], "prefix.kv_latent_norm.weight"
  /// [Rkv], "prefix.kv_up.weight" [Rkv, H (nope + v)].
  LatentQkv(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
            int64_t layer);

  void forward(Exec& exec, Arena& memory, ConstTensorView x, QkvCall& call,
               TensorView qkv) const override;
  void backward(Exec& exec, ConstTensorView x, const QkvCall& call, TensorView dqkv,
                TensorView dx) const override;
  double flops_per_token() const override;

 private:
  int64_t width_, q_rank_, kv_rank_;
  ops::LatentShape shape_;
  std::optional<Linear> q_down_;
  std::optional<Norm> q_norm_;
  Linear q_up_, kv_down_;
  Norm kv_norm_;
  Linear kv_up_;
};

}  // namespace moiety
