// Attention and its projections.
#include "core/model/attention_block.h"

#include "core/device/phase_timer.h"
#include "core/model/rope_form.h"

namespace moiety {

AttentionBlock::AttentionBlock(ParameterTable& table, const std::string& prefix,
                               const ModelConfig& config, int64_t layer)
    : width_(config.hidden),
      shape_(moiety::attention_shape(config)),
      rotate_(config.positions == "rope"),
      rope_(rope_form(config)),
      dropout_(config.attention_dropout),
      documents_(config.documents),
      qkv_(make_qkv_projection(table, prefix, config, layer)),
      out_(table, prefix + ".out",
           {.in = shape_.out_width(),
            .out = config.hidden,
            .bias = config.bias,
            .residual_output = true,
            .tensor_parallel_axis = 0},
           layer) {}

ops::AttentionShape AttentionBlock::attention_shape(const BatchShape& shape) const {
  ops::AttentionShape attention = shape_;
  attention.batch = shape.batch, attention.sequence = shape.sequence;
  attention.dropout = shape.training ? dropout_ : 0;
  return attention;
}

ops::Documents AttentionBlock::apart(const AttentionCall& call) const {
  return documents_.attend_within ? call.documents : ops::Documents{};
}

ConstTensorView AttentionBlock::restarts(const AttentionCall& call) const {
  return documents_.restart_positions ? call.documents.starts : ConstTensorView{};
}

void AttentionBlock::forward(Exec& exec, Arena& memory, const BatchShape& shape,
                             const ops::Documents& documents, ConstTensorView x,
                             AttentionCall& call, TensorView out) const {
  const int64_t T = x.dim(0);
  call.x = x;
  call.documents = documents;
  call.qkv = memory.make(x.dtype, {T, shape_.qkv_width()});
  call.context = memory.make(x.dtype, {T, shape_.out_width()});
  call.log_sum = memory.make(DType::kF32, {shape.batch, shape_.heads, shape.sequence});
  const ops::AttentionShape attention = attention_shape(shape);
  qkv_->forward(exec, memory, x, call.projection, call.qkv);
  if (rotate_) ops::rope(exec, attention, rope_, /*inverse=*/false, call.qkv, restarts(call));
  {
    const PhaseScope phase(exec, "attention");
    ops::attention(exec, attention, call.qkv, call.context, call.log_sum, apart(call));
  }
  out_.forward(exec, call.context, out);
}

void AttentionBlock::backward(Exec& exec, const BatchShape& shape, const AttentionCall& call,
                              ConstTensorView dout, TensorView dx) const {
  const int64_t T = dx.dim(0);
  const TensorView dcontext = exec.scratch(dx.dtype, {T, shape_.out_width()});
  const TensorView dqkv = exec.scratch(dx.dtype, {T, shape_.qkv_width()});
  const ops::AttentionShape attention = attention_shape(shape);
  out_.backward(exec, call.context, dout, dcontext);
  {
    const PhaseScope phase(exec, "attention backward");
    ops::attention_backward(exec, attention, call.qkv, call.context, call.log_sum, dcontext, dqkv,
                            apart(call));
  }
  if (rotate_) ops::rope(exec, attention, rope_, /*inverse=*/true, dqkv, restarts(call));
  qkv_->backward(exec, call.x, call.projection, dqkv, dx);
}

double AttentionBlock::flops_per_token(int64_t sequence) const {
  const double out = 2.0 * static_cast<double>(width_ * shape_.out_width());
  // Scores and weighted values: 2 FLOPs for each number of a head, over (sequence + 1) / 2 keys.
  const int64_t head = shape_.head_dim + shape_.values();
  return qkv_->flops_per_token() + out + static_cast<double>(shape_.heads * head * (sequence + 1));
}

}  // namespace moiety
