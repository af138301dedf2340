// One product for queries, keys and values, and their norms.
#include "core/model/qkv_projection.h"

#include <cmath>
#include <optional>

#include "core/model/latent_qkv.h"
#include "core/model/linear.h"
#include "core/model/norm.h"
#include "core/model/rope_form.h"
#include "core/ops/elementwise.h"
#include "core/ops/group_norm.h"

namespace moiety {

namespace {

class DirectQkv final : public QkvProjection {
 public:
  DirectQkv(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
            int64_t layer)
      : shape_(attention_shape(config)),
        width_(config.hidden),
        eps_(config.norm_eps),
        linear_(table, prefix + ".qkv",
                {.in = config.hidden,
                 .out = shape_.qkv_width(),
                 .bias = config.bias,
                 .tensor_parallel_axis = 1},
                layer) {
    if (config.qk_norm == "none") return;
    by_head_ = config.qk_norm == "head";
    if (!by_head_ && config.qk_norm != "projection") {
      throw ConfigError("model.qk_norm: '" + config.qk_norm +
                        "' is unknown; expected none, head or projection");
    }
    q_norm_ = add_norm_vector(table, prefix + ".q_norm.weight", Init::kOnes,
                              by_head_ ? shape_.head_dim : queries(), layer);
    k_norm_ = add_norm_vector(table, prefix + ".k_norm.weight", Init::kOnes,
                              by_head_ ? shape_.head_dim : keys(), layer);
  }

  void forward(Exec& exec, Arena& memory, ConstTensorView x, QkvCall& call,
               TensorView qkv) const override {
    linear_.forward(exec, x, qkv);
    if (!q_norm_) return;
    const int64_t T = x.dim(0), q = queries(), k = keys();
    call.unnormed = memory.make(x.dtype, {T, q + k});
    call.q_rstd = memory.make(DType::kF32, {T, by_head_ ? shape_.heads : 1});
    call.k_rstd = memory.make(DType::kF32, {T, by_head_ ? shape_.kv_heads : 1});
    ops::copy_rows(exec, qkv.slice(1, 0, q + k), call.unnormed);
    ops::group_rms_norm(exec, eps_, call.q_rstd.dim(1), call.unnormed.slice(1, 0, q),
                        q_norm_->value(), qkv.slice(1, 0, q), call.q_rstd);
    ops::group_rms_norm(exec, eps_, call.k_rstd.dim(1), call.unnormed.slice(1, q, k),
                        k_norm_->value(), qkv.slice(1, q, k), call.k_rstd);
  }

  void backward(Exec& exec, ConstTensorView x, const QkvCall& call, TensorView dqkv,
                TensorView dx) const override {
    if (q_norm_) {
      const int64_t q = queries(), k = keys();
      const TensorView dq = dqkv.slice(1, 0, q), dk = dqkv.slice(1, q, k);
      ops::group_rms_norm_backward(exec, call.q_rstd.dim(1), call.unnormed.slice(1, 0, q), *q_norm_,
                                   call.q_rstd, dq, dq);
      ops::group_rms_norm_backward(exec, call.k_rstd.dim(1), call.unnormed.slice(1, q, k), *k_norm_,
                                   call.k_rstd, dk, dk);
    }
    linear_.backward(exec, x, dqkv, dx);
  }

  double flops_per_token() const override {
    return 2.0 * static_cast<double>(width_ * shape_.qkv_width());
  }

 private:
  int64_t queries() const { return shape_.heads * shape_.head_dim; }
  int64_t keys() const { return shape_.kv_heads * shape_.head_dim; }

  ops::AttentionShape shape_;
  int64_t width_;
  double eps_;
  Linear linear_;
  bool by_head_ = false;
  std::optional<Parameter> q_norm_, k_norm_;
};

}  // namespace

ops::AttentionShape attention_shape(const ModelConfig& config) {
  ops::AttentionShape shape;
  shape.heads = config.heads;
  if (config.attention == "mla") {
    shape.kv_heads = config.heads;
    shape.head_dim = config.mla.qk_nope_head_dim + config.mla.qk_rope_head_dim;
    shape.value_dim = config.mla.v_head_dim;
  } else if (config.attention == "mha") {
    shape.kv_heads = config.kv_heads;
    shape.head_dim = config.head_width();
  } else {
    throw ConfigError("model.attention: '" + config.attention +
                      "' is unknown; expected mha or mla");
  }
  shape.scale = rope_score_factor(config) / std::sqrt(static_cast<double>(shape.head_dim));
  return shape;
}

std::unique_ptr<QkvProjection> make_qkv_projection(ParameterTable& table, const std::string& prefix,
                                                   const ModelConfig& config, int64_t layer) {
  if (config.attention == "mla") {
    return std::make_unique<LatentQkv>(table, prefix, config, layer);
  }
  return std::make_unique<DirectQkv>(table, prefix, config, layer);
}

}  // namespace moiety
