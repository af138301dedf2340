// Latents up and down.
#include "core/model/latent_qkv.h"

#include <moiety/ops.h>

namespace moiety {

namespace {

/// The reference gives the norms of the latents this constant, whatever rms_norm_eps is
/// (transformers, modeling_deepseek_v3.py; DeepSeek-V3, inference/model.py).
constexpr double kLatentEps = 1e-6;

ops::LatentShape latent_shape(const ModelConfig& config) {
  const LatentConfig& c = config.mla;
  return {config.heads, c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim};
}

Linear::Form form(int64_t in, int64_t out, int axis) {
  return {.in = in, .out = out, .bias = false, .tensor_parallel_axis = axis};
}

}  // namespace

LatentQkv::LatentQkv(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
                     int64_t layer)
    : width_(config.hidden),
      q_rank_(config.mla.q_lora_rank),
      kv_rank_(config.mla.kv_lora_rank),
      shape_(latent_shape(config)),
      q_down_(q_rank_ > 0 ? std::optional<Linear>(std::in_place, table, prefix + ".q_down",
                                                  form(width_, q_rank_, -1), layer)
                          : std::nullopt),
      q_norm_(q_rank_ > 0
                  ? std::optional<Norm>(std::in_place, table, prefix + ".q_latent_norm",
                                        NormKind::kRmsNorm, kLatentEps, q_rank_, false, layer)
                  : std::nullopt),
      q_up_(table, prefix + (q_rank_ > 0 ? ".q_up" : ".q"),
            form(q_rank_ > 0 ? q_rank_ : width_, shape_.q_width(), 1), layer),
      kv_down_(table, prefix + ".kv_down", form(width_, kv_rank_ + shape_.rope, -1), layer),
      kv_norm_(table, prefix + ".kv_latent_norm", NormKind::kRmsNorm, kLatentEps, kv_rank_, false,
               layer),
      kv_up_(table, prefix + ".kv_up", form(kv_rank_, shape_.kv_width(), 1), layer) {}

void LatentQkv::forward(Exec& exec, Arena& memory, ConstTensorView x, QkvCall& call,
                        TensorView qkv) const {
  const int64_t T = x.dim(0);
  const TensorView q = exec.scratch(x.dtype, {T, shape_.q_width()});
  const TensorView kv = exec.scratch(x.dtype, {T, shape_.kv_width()});
  if (q_down_) {
    call.q_latent = memory.make(x.dtype, {T, q_rank_});
    call.q_normed = memory.make(x.dtype, {T, q_rank_});
    call.q_latent_rstd = memory.make(DType::kF32, {T, 1});
    q_down_->forward(exec, x, call.q_latent);
    q_norm_->forward(exec, call.q_latent, call.q_normed, call.q_latent_rstd);
  }
  q_up_.forward(exec, q_down_ ? ConstTensorView(call.q_normed) : x, q);
  call.kv_latent = memory.make(x.dtype, {T, kv_rank_ + shape_.rope});
  call.kv_normed = memory.make(x.dtype, {T, kv_rank_});
  call.kv_rstd = memory.make(DType::kF32, {T, 1});
  kv_down_.forward(exec, x, call.kv_latent);
  kv_norm_.forward(exec, call.kv_latent.slice(1, 0, kv_rank_), call.kv_normed, call.kv_rstd);
  kv_up_.forward(exec, call.kv_normed, kv);
  ops::latent_qkv(exec, shape_, q, kv, call.kv_latent.slice(1, kv_rank_, shape_.rope), qkv);
}

void LatentQkv::backward(Exec& exec, ConstTensorView x, const QkvCall& call, TensorView dqkv,
                         TensorView dx) const {
  const int64_t T = x.dim(0);
  const TensorView dq = exec.scratch(x.dtype, {T, shape_.q_width()});
  const TensorView dkv = exec.scratch(x.dtype, {T, shape_.kv_width()});
  const TensorView dlatent = exec.scratch(x.dtype, {T, kv_rank_ + shape_.rope});
  ops::latent_qkv_backward(exec, shape_, dqkv, dq, dkv, dlatent.slice(1, kv_rank_, shape_.rope));
  const TensorView dnormed = exec.scratch(x.dtype, {T, kv_rank_});
  kv_up_.backward(exec, call.kv_normed, dkv, dnormed);
  kv_norm_.backward(exec, call.kv_latent.slice(1, 0, kv_rank_), call.kv_rstd, dnormed, {},
                    dlatent.slice(1, 0, kv_rank_));
  kv_down_.backward(exec, x, dlatent, dx);
  const TensorView dx_q = exec.scratch(x.dtype, {T, width_});
  if (q_down_) {
    const TensorView dq_latent = exec.scratch(x.dtype, {T, q_rank_});
    q_up_.backward(exec, call.q_normed, dq, dq_latent);
    q_norm_->backward(exec, call.q_latent, call.q_latent_rstd, dq_latent, {}, dq_latent);
    q_down_->backward(exec, x, dq_latent, dx_q);
  } else {
    q_up_.backward(exec, x, dq, dx_q);
  }
  ops::add(exec, dx, dx_q, dx);
}

double LatentQkv::flops_per_token() const {
  const int64_t q =
      q_rank_ > 0 ? width_ * q_rank_ + q_rank_ * shape_.q_width() : width_ * shape_.q_width();
  const int64_t kv = width_ * (kv_rank_ + shape_.rope) + kv_rank_ * shape_.kv_width();
  return 2.0 * static_cast<double>(q + kv);
}

}  // namespace moiety
