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

bool dtypes_fit(DType a, DType b, DType c) {
  if (!is_float(a) || !is_float(b) || !is_float(c)) return false;
  const bool any_f32 = a == DType::kF32 || b == DType::kF32;
  return a == b ? c == a || any_f32 || c == DType::kF32 : any_f32 && c == DType::kF32;
}

}  // namespace

void gemm(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form) {
  MOIETY_CHECK(is_matrix(a) && is_matrix(b) && is_matrix(c),
               "gemm: a, b and c are to be matrices with inner stride 1");
  const int64_t m = a.dim(form.transpose_a ? 1 : 0), k = a.dim(form.transpose_a ? 0 : 1);
  const int64_t n = b.dim(form.transpose_b ? 0 : 1);
  MOIETY_CHECK(b.dim(form.transpose_b ? 1 : 0) == k && c.dim(0) == m && c.dim(1) == n,
               "gemm: op(a) [{}, {}] times op(b) [{}, {}] does not give c [{}, {}]", m, k,
               b.dim(form.transpose_b ? 1 : 0), n, c.dim(0), c.dim(1));
  MOIETY_CHECK(dtypes_fit(a.dtype, b.dtype, c.dtype),
               "gemm: dtypes a {}, b {}, c {}; expected a and b alike (f32, bf16, f16) and c the "
               "same or f32, or f32 beside a narrower one and c f32, or f32 operands",
               name_of(a.dtype), name_of(b.dtype), name_of(c.dtype));
  if (form.bias) {
    check_shape("gemm", "bias", form.bias, {n});
    MOIETY_CHECK(!form.accumulate, "gemm: a bias is added to a product, not to a sum of products");
  }
  if (m == 0 || n == 0) return;
  MOIETY_BACKEND(exec, gemm, exec, a, b, c, form);
}

}  // namespace moiety::ops
