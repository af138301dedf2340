// Dense products: checks and dispatch.
#include "core/ops/gemm.h"

#include "core/base/check.h"
#include "core/ops/backend.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

bool is_matrix(ConstTensorView v) { return v.rank == 2 && (v.stride[1] == 1 || v.dim(1) <= 1); }

bool is_float(DType t) { return t == DType::kF32 || t == DType::kBF16 || t == DType::kF16; }

}  // namespace

void gemm(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form) {
  MOIETY_CHECK(is_matrix(a) && is_matrix(b) && is_matrix(c),
               "gemm: a, b and c are to be matrices with inner stride 1");
  const int64_t m = a.dim(form.transpose_a ? 1 : 0), k = a.dim(form.transpose_a ? 0 : 1);
  const int64_t n = b.dim(form.transpose_b ? 0 : 1);
  MOIETY_CHECK(b.dim(form.transpose_b ? 1 : 0) == k && c.dim(0) == m && c.dim(1) == n,
               "gemm: op(a) [{}, {}] times op(b) [{}, {}] does not give c [{}, {}]", m, k,
               b.dim(form.transpose_b ? 1 : 0), n, c.dim(0), c.dim(1));
  MOIETY_CHECK(
      is_float(a.dtype) && b.dtype == a.dtype && (c.dtype == a.dtype || c.dtype == DType::kF32),
      "gemm: dtypes a {}, b {}, c {}; expected a and b alike (f32, bf16, f16) and c the "
      "same or f32",
      name_of(a.dtype), name_of(b.dtype), name_of(c.dtype));
  if (form.bias) {
    check_shape("gemm", "bias", form.bias, {n});
    MOIETY_CHECK(!form.accumulate, "gemm: a bias is added to a product, not to a sum of products");
  }
  if (m == 0 || n == 0) return;
  MOIETY_BACKEND(exec, gemm, exec, a, b, c, form);
}

}  // namespace moiety::ops
