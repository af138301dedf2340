// Chooses the kernels of compute capability 9.0 where they can serve, and hands them plain
// pointers.
#include <atomic>
#include <optional>

#include "core/device/device.h"
#include "core/device/exec_impl.h"
#include "core/ops/fp8_products.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/grouped_fp8.h"
#include "core/ops/slot_sums.h"
#include "core/ops/sm90/grouped_problem.h"

namespace moiety::ops::cuda {

namespace {

std::atomic<bool> portable_only = false;

bool is_sm90(const Exec& exec) {
  return !portable_only && exec.impl().context->compute_capability() == 90;
}

std::optional<sm90::Number> number_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return sm90::Number::kBF16;
    case DType::kF16: return sm90::Number::kF16;
    case DType::kF32: return sm90::Number::kF32;
    case DType::kF8E4M3: return sm90::Number::kE4M3;
    case DType::kF8E5M2: return sm90::Number::kE5M2;
    default: return std::nullopt;
  }
}

bool can_multiply(DType dtype) { return dtype == DType::kBF16 || dtype == DType::kF16; }

sm90::Matrix matrix_of(const ConstTensorView& v) {
  return {const_cast<void*>(v.raw()), v.dim(0), v.dim(1), v.stride[0]};
}

sm90::SegmentList list_of(const Segments& s) {
  return {s.start.data<int32_t>(), s.count.data<int32_t>(), static_cast<int>(s.start.numel())};
}

sm90::ProductProblem product_of(const ExpertBatch& batch, const ConstTensorView& a,
                                const ConstTensorView& w, const TensorView& out, bool transposed) {
  const auto number = *number_of(a.dtype);
  return {.segments = list_of(batch),
          .a = matrix_of(a),
          .row = batch.row ? batch.row.data<int32_t>() : nullptr,
          .w = w.raw(),
          .out = matrix_of(out),
          .experts = static_cast<int>(w.dim(0)),
          .transposed = transposed,
          .operands = number,
          .result = number};
}

/// What `p` asks for with its operands, a and w as Fp8GroupedProduct has them, in place of its own.
sm90::ProductProblem with_operands(sm90::ProductProblem p, const Fp8Matrix& a, const Fp8Matrix& w) {
  p.a = matrix_of(a.values);
  p.w = w.values.ptr;
  p.transposed = true;
  p.operands = *number_of(a.format());
  p.scales = {a.scales.data<float>(), static_cast<int>(a.scales.stride[0]),
              static_cast<const float*>(w.scales.ptr),
              static_cast<int>(w.scales.stride[w.scales.rank - 2])};
  return p;
}

/// The same, quantised into scratch memory: a as E4M3, or with kYes as the gradient that it is.
sm90::ProductProblem in_fp8(Exec& exec, const sm90::ProductProblem& p, const ConstTensorView& a,
                            const ConstTensorView& w, Transpose transpose) {
  const bool turned = transpose == Transpose::kYes;
  return with_operands(
      p, quantize_rows(exec, a, turned ? DType::kF8E5M2 : DType::kF8E4M3, Fp8ScaleOrder::kByRow),
      quantize_blocks(exec, w, turned ? Transpose::kNo : Transpose::kYes));
}

template <class Problem>
bool run_if_accepted(Exec& exec, const Problem& problem) {
  if (!sm90::accepts(problem)) return false;
  sm90::run(problem, static_cast<cudaStream_t>(exec.stream()));
  return true;
}

}  // namespace

void force_portable_kernels(bool on) { portable_only = on; }

bool grouped_gemm_sm90(Exec& exec, const GroupedProduct& p) {
  const auto result = number_of(p.out.dtype);
  if (!is_sm90(exec) || !can_multiply(p.a.dtype) || !result) return false;
  return run_if_accepted(exec, sm90::ProductProblem{.segments = list_of(p.segments),
                                                    .a = matrix_of(p.a),
                                                    .w = p.w.raw(),
                                                    .out = matrix_of(p.out),
                                                    .experts = static_cast<int>(p.w.dim(0)),
                                                    .transposed = p.transposed,
                                                    .operands = *number_of(p.a.dtype),
                                                    .result = *result});
}

bool grouped_gemm_grad_sm90(Exec& exec, const GroupedGradient& p) {
  const auto result = number_of(p.grad.dtype);
  if (!is_sm90(exec) || !can_multiply(p.a.dtype) || !result) return false;
  return run_if_accepted(
      exec, sm90::GradientProblem{.segments = list_of(p.segments),
                                  .a = matrix_of(p.a),
                                  .dout = matrix_of(p.dout),
                                  .a_row = p.a_row ? p.a_row.data<int32_t>() : nullptr,
                                  .dout_row = p.dout_row ? p.dout_row.data<int32_t>() : nullptr,
                                  .grad = p.grad.ptr,
                                  .experts = static_cast<int>(p.grad.dim(0)),
                                  .accumulate = p.accumulate,
                                  .operands = *number_of(p.a.dtype),
                                  .result = *result});
}

bool grouped_fp8_sm90(Exec& exec, const Fp8GroupedProduct& p) {
  const auto result = number_of(p.out.dtype);
  if (!is_sm90(exec) || !result) return false;
  const sm90::ProductProblem problem{.segments = list_of(p.segments),
                                     .a = matrix_of(p.a.values),
                                     .row = p.row ? p.row.data<int32_t>() : nullptr,
                                     .out = matrix_of(p.out),
                                     .experts = static_cast<int>(p.w.values.dim(0)),
                                     .result = *result};
  return run_if_accepted(exec, with_operands(problem, p.a, p.w));
}

bool expert_up_sm90(Exec& exec, const ExpertUp& p) {
  if (!is_sm90(exec) || !can_multiply(p.x.dtype)) return false;
  const ArenaScope scope(*exec.impl().scratch);
  sm90::ActivatedProblem problem{.product = product_of(p.batch, p.x, p.w, p.h, false),
                                 .bias = p.bias ? p.bias.data<float>() : nullptr,
                                 .activated = matrix_of(p.a),
                                 .activation = static_cast<int>(p.activation),
                                 .gated = p.gated};
  if (runs_in_fp8(exec, p.x)) {
    problem.product = in_fp8(exec, problem.product, p.x, p.w, Transpose::kNo);
  }
  return run_if_accepted(exec, problem);
}

bool expert_down_backward_sm90(Exec& exec, const ExpertDownBackward& p) {
  if (!is_sm90(exec) || !can_multiply(p.dout.dtype)) return false;
  const ArenaScope scope(*exec.impl().scratch);
  sm90::ActivatedBackwardProblem problem{
      .product = product_of(p.batch, p.dout, p.w, p.dh, true),
      .h = matrix_of(p.h),
      .weight = p.batch.weight ? p.batch.weight.data<float>() : nullptr,
      .activated = matrix_of(p.a),
      .activation = static_cast<int>(p.activation),
      .gated = p.gated};
  if (runs_in_fp8(exec, p.dout)) {
    problem.product = in_fp8(exec, problem.product, p.dout, p.w, Transpose::kYes);
  }
  if (!sm90::accepts(problem)) return false;
  const int64_t N = p.a.dim(0), parts = sm90::dot_parts(problem);
  TensorView sums;
  if (p.dweight) {
    sums = exec.scratch(DType::kF32, {N, parts});
    problem.dot_parts = sums.data<float>();
  }
  sm90::run(problem, static_cast<cudaStream_t>(exec.stream()));
  if (p.dweight) add_parts(exec, p.batch, sums, p.dweight);
  return true;
}

}  // namespace moiety::ops::cuda
