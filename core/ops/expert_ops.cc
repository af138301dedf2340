// Ops of expert functions: the card's own kernels where they can serve, else the separate ops.
#include <moiety/expert_ops.h>

#include "core/base/check.h"
#include "core/device/build.h"
#include "core/ops/fp8_products.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/grouped_fp8.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

/// Rows of `from` [R, D] by slot. Where slots are rows, `from` itself.
ConstTensorView by_slot(Exec& exec, const ExpertBatch& batch, ConstTensorView from, int64_t slots) {
  if (!batch.row) return from;
  const TensorView rows = exec.scratch(from.dtype, {slots, from.dim(1)});
  gather_rows(exec, batch, from, rows);
  return rows;
}

/// Every slot is a row of one known segment, with the weight 1: a dense layer.
bool is_dense_layer(const ExpertBatch& batch, int64_t slots, int64_t experts) {
  return is_dense(batch, slots, experts) && !batch.row && !batch.weight;
}

/// The only matrix of w [1, rows, columns].
ConstTensorView only(ConstTensorView w) { return w.reshape({w.dim(1), w.dim(2)}); }

/// One expert's product y = x w + bias.
void dense_product(Exec& exec, ConstTensorView x, ConstTensorView w, ConstTensorView bias,
                   TensorView y) {
  if (runs_in_fp8(exec, x)) return fp8_product(exec, x, only(w), bias, y);
  gemm(exec, x, only(w), y, {.bias = bias});
}

void apply_activation(Exec& exec, const ExpertUp& p) {
  p.gated ? gated_activate(exec, p.batch, p.activation, p.h, p.a)
          : activate(exec, p.batch, p.activation, p.h, p.a);
}

/// A dense layer's first product with its bias, and its activation where the product can finish
/// with it.
void run_dense(Exec& exec, const ExpertUp& p) {
  const ConstTensorView bias = p.bias ? p.bias.reshape({p.bias.dim(1)}) : p.bias;
  if constexpr (kCuda) {
    if (exec.is_cuda() && !runs_in_fp8(exec, p.x) && !p.gated &&
        p.activation == Activation::kGeluTanh &&
        cuda::gemm_gelu(exec, p.x, only(p.w), bias, p.h, p.a)) {
      return;
    }
  }
  dense_product(exec, p.x, p.w, bias, p.h);
  apply_activation(exec, p);
}

/// dh of a dense layer straight from the product, or false.
bool dense_gradient(Exec& exec, const ExpertDownBackward& p) {
  if constexpr (kCuda) {
    if (exec.is_cuda() && !runs_in_fp8(exec, p.dout) && !p.gated &&
        p.activation == Activation::kGeluTanh && !p.dweight &&
        is_dense_layer(p.batch, p.a.dim(0), p.w.dim(0))) {
      return cuda::gemm_gelu_gradient(exec, p.dout, only(p.w), p.h, p.dh);
    }
  }
  return false;
}

void run(Exec& exec, const ExpertUp& p) {
  if (is_dense_layer(p.batch, p.a.dim(0), p.w.dim(0))) return run_dense(exec, p);
  if constexpr (kCuda) {
    if (exec.is_cuda() && !is_dense(p.batch, p.a.dim(0), p.w.dim(0)) &&
        cuda::expert_up_sm90(exec, p)) {
      return;
    }
  }
  if (runs_in_fp8(exec, p.x)) {
    grouped_fp8(exec, p.batch, p.batch.row, p.x, p.w, p.h, Transpose::kNo);
  } else {
    grouped_gemm(exec, p.batch, by_slot(exec, p.batch, p.x, p.a.dim(0)), p.w, p.h);
  }
  if (p.bias) grouped_bias(exec, p.batch, p.bias, p.h);
  apply_activation(exec, p);
}

void run(Exec& exec, const ExpertDownBackward& p) {
  const bool dense = is_dense(p.batch, p.a.dim(0), p.w.dim(0));
  if constexpr (kCuda) {
    if (exec.is_cuda() && !dense && cuda::expert_down_backward_sm90(exec, p)) return;
  }
  if (dense_gradient(exec, p)) return activate(exec, p.batch, p.activation, p.h, p.a);
  const TensorView da = exec.scratch(p.a.dtype, {p.a.dim(0), p.a.dim(1)});
  p.gated ? gated_activate(exec, p.batch, p.activation, p.h, p.a)
          : activate(exec, p.batch, p.activation, p.h, p.a);
  if (!dense && runs_in_fp8(exec, p.dout)) {
    grouped_fp8(exec, p.batch, p.batch.row, p.dout, p.w, da, Transpose::kYes);
  } else {
    const ConstTensorView dout = by_slot(exec, p.batch, p.dout, p.a.dim(0));
    grouped_gemm(exec, p.batch, dout, p.w, da, Transpose::kYes);
  }
  if (p.dweight) row_dot(exec, p.batch, p.a, da, p.dweight);
  scale_rows(exec, p.batch, p.a);
  scale_rows(exec, p.batch, da);
  p.gated ? gated_activate_backward(exec, p.batch, p.activation, p.h, da, p.dh)
          : activate_backward(exec, p.batch, p.activation, p.h, da, p.dh);
}

void up(Exec& exec, const char* op, const ExpertUp& p) {
  const int64_t L = p.w.dim(0), N = p.a.dim(0), H = p.a.dim(1), width = p.gated ? 2 * H : H;
  check_shape(op, "w", p.w, {L, p.x.dim(1), width});
  check_shape(op, "h", p.h, {N, width});
  if (p.bias) check_shape(op, "bias", p.bias, {L, H});
  check_same_dtype(op, "w", p.w, p.x.dtype);
  check_same_dtype(op, "h", p.h, p.x.dtype);
  check_same_dtype(op, "a", p.a, p.x.dtype);
  run(exec, p);
}

void down_backward(Exec& exec, const char* op, const ExpertDownBackward& p) {
  const int64_t N = p.a.dim(0), H = p.a.dim(1), width = p.gated ? 2 * H : H;
  check_shape(op, "w", p.w, {p.w.dim(0), H, p.dout.dim(1)});
  check_shape(op, "h", p.h, {N, width});
  check_shape(op, "dh", p.dh, {N, width});
  if (p.dweight) check_shape(op, "dweight", p.dweight, {N});
  check_same_dtype(op, "w", p.w, p.dout.dtype);
  check_same_dtype(op, "h", p.h, p.dout.dtype);
  check_same_dtype(op, "dh", p.dh, p.dout.dtype);
  check_same_dtype(op, "a", p.a, p.dout.dtype);
  run(exec, p);
}

}  // namespace

void expert_up(Exec& exec, const ExpertBatch& batch, Activation activation, ConstTensorView x,
               ConstTensorView w, ConstTensorView bias, TensorView h, TensorView a) {
  up(exec, "expert_up", {batch, activation, x, w, bias, h, a, false});
}

void gated_expert_up(Exec& exec, const ExpertBatch& batch, Activation activation, ConstTensorView x,
                     ConstTensorView w, TensorView h, TensorView a) {
  check_shape("gated_expert_up", "w", w, {w.dim(0), x.dim(1), 2, a.dim(1)});
  const ConstTensorView flat = w.reshape({w.dim(0), x.dim(1), 2 * a.dim(1)});
  up(exec, "gated_expert_up", {batch, activation, x, flat, {}, h, a, true});
}

void expert_down(Exec& exec, const ExpertBatch& batch, ConstTensorView a, ConstTensorView w,
                 ConstTensorView bias, TensorView y) {
  check_shape("expert_down", "w", w, {w.dim(0), a.dim(1), y.dim(1)});
  if (bias) check_shape("expert_down", "bias", bias, {w.dim(0), y.dim(1)});
  if (is_dense(batch, y.dim(0), w.dim(0))) {
    return dense_product(exec, a, w, bias ? bias.reshape({bias.dim(1)}) : bias, y);
  }
  grouped_gemm(exec, batch, a, w, y);
  if (bias) grouped_bias(exec, batch, bias, y);
}

void expert_down_backward(Exec& exec, const ExpertBatch& batch, Activation activation,
                          ConstTensorView dout, ConstTensorView w, ConstTensorView h, TensorView dh,
                          TensorView a, TensorView dweight) {
  down_backward(exec, "expert_down_backward",
                {batch, activation, dout, w, h, dh, a, dweight, false});
}

void gated_expert_down_backward(Exec& exec, const ExpertBatch& batch, Activation activation,
                                ConstTensorView dout, ConstTensorView w, ConstTensorView h,
                                TensorView dh, TensorView a, TensorView dweight) {
  down_backward(exec, "gated_expert_down_backward",
                {batch, activation, dout, w, h, dh, a, dweight, true});
}

void grouped_gemm_grad_by_row(Exec& exec, const ExpertBatch& batch, ByRow by_row, ConstTensorView a,
                              ConstTensorView dout, const Parameter& w) {
  if (!batch.row) return grouped_gemm_grad(exec, batch, a, dout, w);
  if (w.grad_mode() == GradMode::kNone) return;
  const int64_t N = batch.row.dim(0);
  if constexpr (kCuda) {
    const TensorView grad = w.grad();
    const int64_t L = grad.dim(0), K = a.dim(1), J = dout.dim(1);
    MOIETY_CHECK(grad.numel() == L * K * J && grad.dim(1) == K,
                 "grouped_gemm_grad_by_row: a has {} columns and dout {}; the parameter holds {}",
                 K, J, grad.numel());
    GroupedGradient p{batch, a, dout, grad.reshape({L, K, J}),
                      w.grad_mode() == GradMode::kAccumulate};
    (by_row == ByRow::kA ? p.a_row : p.dout_row) = batch.row;
    if (exec.is_cuda() && !is_dense(batch, N, L) && cuda::grouped_gemm_grad_sm90(exec, p)) return;
  }
  ConstTensorView& rows = by_row == ByRow::kA ? a : dout;
  rows = by_slot(exec, batch, rows, N);
  grouped_gemm_grad(exec, batch, a, dout, w);
}

}  // namespace moiety::ops
