// Products of a layer in 8-bit floats.
#include "core/ops/fp8_products.h"

#include "core/device/exec_impl.h"

namespace moiety::ops {

bool runs_in_fp8(const Exec& exec, const ConstTensorView& operand) {
  return exec.impl().fp8 && operand.dtype == exec.compute_dtype();
}

void fp8_product(Exec& exec, ConstTensorView x, ConstTensorView w, ConstTensorView bias,
                 TensorView y) {
  const ArenaScope scope(*exec.impl().scratch);
  fp8_gemm(exec, quantize_rows(exec, x, DType::kF8E4M3, Fp8ScaleOrder::kByPiece),
           quantize_blocks(exec, w, Transpose::kYes), y, {.bias = bias});
}

void fp8_input_gradient(Exec& exec, ConstTensorView dy, ConstTensorView w, TensorView dx) {
  const ArenaScope scope(*exec.impl().scratch);
  fp8_gemm(exec, quantize_rows(exec, dy, DType::kF8E5M2, Fp8ScaleOrder::kByPiece),
           quantize_blocks(exec, w, Transpose::kNo), dx);
}

void fp8_weight_gradient(Exec& exec, ConstTensorView x, ConstTensorView dy, TensorView dw,
                         bool accumulate) {
  const ArenaScope scope(*exec.impl().scratch);
  fp8_gemm(exec, quantize_columns(exec, x, DType::kF8E4M3),
           quantize_columns(exec, dy, DType::kF8E5M2), dw, {.accumulate = accumulate});
}

}  // namespace moiety::ops
