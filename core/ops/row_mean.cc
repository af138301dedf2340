// A mean over the rows that count, block by block.
#include <moiety/objective_ops.h>
#include <moiety/ops.h>

#include "core/ops/scalars.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

void add_row_mean(Exec& exec, const ObjectiveInputs& inputs, ConstTensorView values,
                  TensorView out) {
  const int64_t R = values.dim(0);
  check_shape("add_row_mean", "values", values, {R});
  ConstTensorView mask = inputs.loss_mask;
  if (!mask) {
    const TensorView ones = exec.scratch(DType::kF32, {R});
    fill(exec, ones, 1);
    mask = ones;
  }
  check_shape("add_row_mean", "loss_mask", mask, {R});
  const TensorView total = exec.scratch(DType::kF32, {1});
  dot(exec, values, mask, 1, total);
  add_quotient(exec, total, inputs.denominator, out);
}

}  // namespace moiety::ops
