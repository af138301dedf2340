// Rows and weights of an expert function.
#include "core/model/expert_rows.h"

namespace moiety {

ConstTensorView slot_rows(Exec& exec, const ExpertBatch& batch, ConstTensorView from,
                          int64_t slots) {
  if (!batch.row) return from;
  const TensorView rows = exec.scratch(from.dtype, {slots, from.dim(1)});
  ops::gather_rows(exec, batch, from, rows);
  return rows;
}

ConstTensorView weighted_slot_rows(Exec& exec, const ExpertBatch& batch, ConstTensorView from,
                                   int64_t slots) {
  if (!batch.weight) return slot_rows(exec, batch, from, slots);
  const TensorView rows = exec.scratch(from.dtype, {slots, from.dim(1)});
  ops::gather_rows(exec, batch, from, rows);
  ops::scale_rows(exec, batch, rows);
  return rows;
}

ConstTensorView weights(const Exec& exec, const Parameter& parameter) {
  return parameter.compute_copy({.dtype = exec.compute_dtype()}).values;
}

}  // namespace moiety
