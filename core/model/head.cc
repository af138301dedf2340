// The end of the model.
#include "core/model/head.h"

#include <algorithm>

#include <moiety/objective_ops.h>

#include "core/device/phase_timer.h"
#include "core/model/component_call.h"
#include "core/model/decoder_layer.h"
#include "core/model/layer_scope.h"
#include "core/ops/gemm.h"

namespace moiety {

namespace {

/// Rows whose logits are held at a time: some 400 MiB of them on a GPU, where every block reads and
/// writes the whole gradient of the head's weight again; less on a CPU.
int64_t rows_of_block(const Exec& exec, DType dtype, int64_t vocab, int64_t rows) {
  if (!exec.is_cuda()) return std::max<int64_t>((int64_t{1} << 25) / vocab / 64, 1) * 64;
  const int64_t most = std::max<int64_t>((int64_t{400} << 20) / (vocab * size_of(dtype)), 128);
  const int64_t blocks = std::max<int64_t>((rows + most - 1) / most, 1);
  return ((rows + blocks - 1) / blocks + 127) / 128 * 128;
}

Parameter add_head(ParameterTable& table, const ModelConfig& config, const Parameter& token) {
  if (config.tie_embeddings) return token;
  ParamSpec spec;
  spec.shape = {config.hidden, config.vocab_size};
  spec.fan_in = config.hidden;
  spec.tensor_parallel_axis = 1;
  return Parameter(table.add("head.weight", spec));
}

/// Rows [begin, begin + count) of a column per token, or nothing.
ConstTensorView rows(ConstTensorView x, int64_t begin, int64_t count) {
  return x ? x.reshape({x.numel()}).slice(0, begin, count) : x;
}

}  // namespace

Head::Head(ParameterTable& table, const ModelConfig& config, const Parameter& token)
    : width_(config.hidden),
      vocab_(config.vocab_size),
      tied_(config.tie_embeddings),
      norm_(table, "final_norm", norm_kind(config), config.norm_eps, config.hidden, config.bias,
            -1),
      weight_(add_head(table, config, token)) {}

void Head::block_logits(Exec& exec, ConstTensorView h, TensorView out) const {
  ops::gemm(exec, h, weight_.value(), out, {.transpose_b = tied_});
}

void Head::block_gradient(Exec& exec, ConstTensorView h, ConstTensorView dlogits, bool first,
                          TensorView dh) const {
  ops::gemm(exec, dlogits, weight_.value(), dh, {.transpose_b = !tied_});
  if (weight_.grad_mode() == GradMode::kNone) return;
  const bool accumulate = !first || weight_.grad_mode() == GradMode::kAccumulate;
  ops::gemm(exec, tied_ ? dlogits : h, tied_ ? h : dlogits, weight_.grad(),
            {.transpose_a = true, .accumulate = accumulate});
}

void Head::loss(Exec& exec, const MicroBatch& batch, const Objective& objective, ConstTensorView x,
                const StepSums& sums, TensorView dx) const {
  const PhaseScope phase(exec, "head and loss");
  const LayerScope scope(exec, 0);
  const int64_t T = x.dim(0);
  const TensorView h = exec.scratch(x.dtype, {T, width_});
  const TensorView statistics = exec.scratch(DType::kF32, {T, norm_.statistics()});
  const TensorView row_loss = exec.scratch(DType::kF32, {T});
  const TensorView dh = dx ? exec.scratch(x.dtype, {T, width_}) : TensorView{};
  TensorView metrics = sums.metrics;
  if (!metrics) {
    metrics = exec.scratch(DType::kF32, {static_cast<int64_t>(objective.metrics().size())});
    ops::fill(exec, metrics, 0);
  }
  norm_.forward(exec, x, h, statistics);
  const int64_t most = rows_of_block(exec, x.dtype, vocab_, T);
  for (int64_t begin = 0; begin < T; begin += most) {
    const int64_t count = std::min(most, T - begin);
    const ArenaScope block(*exec.impl().scratch);
    const TensorView logits = exec.scratch(x.dtype, {count, vocab_});
    const ConstTensorView h_block = h.slice(0, begin, count);
    block_logits(exec, h_block, logits);
    ObjectiveInputs inputs;
    inputs.logits = logits;
    inputs.targets = rows(batch.targets, begin, count);
    inputs.loss_mask = rows(batch.loss_mask, begin, count);
    inputs.denominator = batch.denominator;
    if (batch.teacher != nullptr) {
      const TensorView of_teacher = exec.scratch(x.dtype, {count, vocab_});
      batch.teacher->logits(begin, of_teacher);
      inputs.teacher_logits = of_teacher;
    }
    in_component(exec, "the objective", "evaluate", -1, [&] {
      objective.evaluate(exec, inputs, row_loss.slice(0, begin, count), dx ? logits : TensorView{},
                         metrics);
    });
    if (dx) block_gradient(exec, h_block, logits, begin == 0, dh.slice(0, begin, count));
  }
  if (dx) norm_.backward(exec, x, statistics, dh, {}, dx);
  if (!sums.loss) return;
  ObjectiveInputs all;
  all.loss_mask = rows(batch.loss_mask, 0, T);
  all.denominator = batch.denominator;
  ops::add_row_mean(exec, all, row_loss, sums.loss);
}

void Head::logits(Exec& exec, ConstTensorView x, TensorView out) const {
  const LayerScope scope(exec, 0);
  const TensorView h = exec.scratch(x.dtype, {x.dim(0), width_});
  norm_.forward(exec, x, h, exec.scratch(DType::kF32, {x.dim(0), norm_.statistics()}));
  block_logits(exec, h, out);
}

}  // namespace moiety
