// Dense products in 8-bit floats: checks, cuBLASLt where it serves, else the ordinary product.
#include "core/ops/fp8.h"

#include "core/base/check.h"
#include "core/device/build.h"
#include "core/device/exec_impl.h"
#include "core/ops/elementwise.h"
#include "core/ops/gemm.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

TensorView dequantized(Exec& exec, const Fp8Matrix& m, DType dtype) {
  const TensorView out = exec.scratch(dtype, {m.rows(), m.depth()});
  dequantize(exec, m, out);
  return out;
}

bool by_cublas(Exec& exec, const Fp8Matrix& a, const Fp8Matrix& b, TensorView c, bool accumulate) {
  if constexpr (kCuda) {
    return exec.is_cuda() && cuda::fp8_gemm(exec, a, b, c, accumulate);
  }
  return false;
}

}  // namespace

void fp8_gemm(Exec& exec, const Fp8Matrix& a, const Fp8Matrix& b, TensorView c,
              const Fp8GemmForm& form) {
  check_rank("fp8_gemm", "a", a.values, 2);
  check_rank("fp8_gemm", "b", b.values, 2);
  check_shape("fp8_gemm", "b", b.values, {b.rows(), a.depth()});
  check_shape("fp8_gemm", "c", c, {a.rows(), b.rows()});
  MOIETY_CHECK(a.scaling == Fp8Scaling::kPieces || b.scaling == Fp8Scaling::kPieces,
               "fp8_gemm: one operand at least is to be scaled by pieces");
  if (form.bias) {
    check_shape("fp8_gemm", "bias", form.bias, {b.rows()});
    MOIETY_CHECK(!form.accumulate,
                 "fp8_gemm: a bias is added to a product, not to a sum of products");
  }
  if (c.numel() == 0) return;
  const ArenaScope scope(*exec.impl().scratch);
  if (!by_cublas(exec, a, b, c, form.accumulate)) {
    const DType narrow = c.dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    const DType dtype = exec.is_cuda() ? narrow : DType::kF32;
    gemm(exec, dequantized(exec, a, dtype), dequantized(exec, b, dtype), c,
         {.transpose_b = true, .accumulate = form.accumulate});
  }
  if (form.bias) add_bias(exec, form.bias, c);
}

}  // namespace moiety::ops
