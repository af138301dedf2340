// Products of slots with their experts' matrices: checks, then the backend.
#include <moiety/ops.h>

#include "core/base/check.h"
#include "core/ops/backend.h"
#include "core/ops/fp8_products.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/grouped_fp8.h"

namespace moiety::ops {

bool is_dense(const Segments& s, int64_t slots, int64_t experts) {
  return experts == 1 && s.start.numel() == 1 && s.host_count != nullptr &&
         s.host_count[0] == slots;
}

void grouped_gemm(Exec& exec, const Segments& segments, ConstTensorView a, ConstTensorView w,
                  TensorView out, Transpose transpose) {
  const bool transposed = transpose == Transpose::kYes;
  MOIETY_CHECK(w.rank >= 2 && w.contiguous(), "grouped_gemm: w must be contiguous [L, K, ...]");
  const int64_t L = w.dim(0), rows = w.dim(1), columns = L * rows > 0 ? w.numel() / (L * rows) : 0;
  const int64_t K = transposed ? columns : rows, J = transposed ? rows : columns;
  MOIETY_CHECK(a.dim(1) == K && out.dim(1) == J && a.dim(0) == out.dim(0),
               "grouped_gemm: a [{}, {}] times {} x {} does not give [{}, {}]", a.dim(0), a.dim(1),
               K, J, out.dim(0), out.dim(1));
  MOIETY_CHECK(a.dtype == w.dtype, "grouped_gemm: a is {}, w is {}", name_of(a.dtype),
               name_of(w.dtype));
  if (runs_in_fp8(exec, a)) {
    if (!is_dense(segments, a.dim(0), L)) {
      return grouped_fp8(exec, segments, {}, a, w.reshape({L, rows, columns}), out, transpose);
    }
    const ConstTensorView only = w.reshape({rows, columns});
    return transposed ? fp8_input_gradient(exec, a, only, out)
                      : fp8_product(exec, a, only, {}, out);
  }
  const GroupedProduct product{segments, a, w.reshape({L, rows, columns}), out, transposed};
  MOIETY_BACKEND(exec, grouped_gemm, exec, product);
}

void grouped_gemm_grad(Exec& exec, const Segments& segments, ConstTensorView a,
                       ConstTensorView dout, const Parameter& w) {
  if (w.grad_mode() == GradMode::kNone) return;
  const TensorView grad = w.grad();
  const int64_t L = grad.dim(0), K = a.dim(1), J = dout.dim(1);
  MOIETY_CHECK(
      grad.numel() == L * K * J && grad.dim(1) == K,
      "grouped_gemm_grad: a has {} columns and dout {}, the parameter holds {} x {} a slice", K, J,
      grad.dim(1), L * grad.dim(1) > 0 ? grad.numel() / (L * grad.dim(1)) : 0);
  MOIETY_CHECK(grad.dtype == DType::kF32 || grad.dtype == a.dtype,
               "grouped_gemm_grad: the gradient is {}, the operands {}; expected f32 or the same",
               name_of(grad.dtype), name_of(a.dtype));
  const bool accumulate = w.grad_mode() == GradMode::kAccumulate;
  if (is_dense(segments, a.dim(0), L) && runs_in_fp8(exec, a) && runs_in_fp8(exec, dout)) {
    return fp8_weight_gradient(exec, a, dout, grad.reshape({K, J}), accumulate);
  }
  const GroupedGradient gradient{segments, a, dout, grad.reshape({L, K, J}), accumulate};
  MOIETY_BACKEND(exec, grouped_gemm_grad, exec, gradient);
}

}  // namespace moiety::ops
