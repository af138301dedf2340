// Attention and its projections.
#include "core/model/attention_block.h"

#include <cmath>

#include "core/device/arena.h"
#include "core/device/phase_timer.h"

namespace moiety {

AttentionBlock::AttentionBlock(ParameterTable& table, const std::string& prefix,
                               const ModelConfig& config, int64_t layer)
    : width_(config.hidden),
      heads_(config.heads),
      kv_heads_(config.kv_heads),
      head_dim_(config.hidden / config.heads),
      rotate_(config.positions == "rope"),
      theta_(config.rope_theta),
      dropout_(config.attention_dropout),
      qkv_(
          table, prefix + ".qkv",
          {.in = config.hidden, .out = qkv_width(), .bias = config.bias, .tensor_parallel_axis = 1},
          layer),
      out_(table, prefix + ".out",
           {.in = heads_ * head_dim_,
            .out = config.hidden,
            .bias = config.bias,
            .residual_output = true,
            .tensor_parallel_axis = 0},
           layer) {}

ops::AttentionShape AttentionBlock::attention_shape(const BatchShape& shape) const {
  ops::AttentionShape attention;
  attention.batch = shape.batch, attention.sequence = shape.sequence;
  attention.heads = heads_, attention.kv_heads = kv_heads_, attention.head_dim = head_dim_;
  attention.scale = 1 / std::sqrt(static_cast<double>(head_dim_));
  attention.dropout = shape.training ? dropout_ : 0;
  return attention;
}

void AttentionBlock::forward(Exec& exec, Arena& memory, const BatchShape& shape, ConstTensorView x,
                             AttentionCall& call, TensorView out) const {
  const int64_t T = x.dim(0);
  call.x = x;
  call.qkv = memory.make(x.dtype, {T, qkv_width()});
  call.context = memory.make(x.dtype, {T, heads_ * head_dim_});
  call.log_sum = memory.make(DType::kF32, {T, heads_});
  const ops::AttentionShape attention = attention_shape(shape);
  qkv_.forward(exec, x, call.qkv);
  if (rotate_) ops::rope(exec, attention, theta_, /*inverse=*/false, call.qkv);
  {
    const PhaseScope phase(exec, "attention");
    ops::attention(exec, attention, call.qkv, call.context, call.log_sum);
  }
  out_.forward(exec, call.context, out);
}

void AttentionBlock::backward(Exec& exec, const BatchShape& shape, const AttentionCall& call,
                              ConstTensorView dout, TensorView dx) const {
  const int64_t T = dx.dim(0);
  const TensorView dcontext = exec.scratch(dx.dtype, {T, heads_ * head_dim_});
  const TensorView dqkv = exec.scratch(dx.dtype, {T, qkv_width()});
  const ops::AttentionShape attention = attention_shape(shape);
  out_.backward(exec, call.context, dout, dcontext);
  {
    const PhaseScope phase(exec, "attention backward");
    ops::attention_backward(exec, attention, call.qkv, call.context, call.log_sum, dcontext, dqkv);
  }
  if (rotate_) ops::rope(exec, attention, theta_, /*inverse=*/true, dqkv);
  qkv_.backward(exec, call.x, dqkv, dx);
}

double AttentionBlock::flops_per_token(int64_t sequence) const {
  const double projections = 2.0 * static_cast<double>(width_ * (qkv_width() + heads_ * head_dim_));
  // Scores and weighted values: 2 products of 2 FLOPs over (sequence + 1) / 2 keys.
  return projections + 2.0 * static_cast<double>(heads_ * head_dim_ * (sequence + 1));
}

}  // namespace moiety
