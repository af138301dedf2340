// What the two plain expert functions share: their rows, in slot order, and their weights.
#pragma once

#include <cstdint>

#include <moiety/ops.h>

namespace moiety {

/// Rows of `from` [R, D] by slot. Where slots are rows, `from` itself.
ConstTensorView slot_rows(Exec& exec, const ExpertBatch& batch, ConstTensorView from,
                          int64_t slots);
/// The same, times the slot's weight. Never `from` itself where there is a weight.
ConstTensorView weighted_slot_rows(Exec& exec, const ExpertBatch& batch, ConstTensorView from,
                                   int64_t slots);
/// The values of a matrix in the dtype of the products.
ConstTensorView weights(const Exec& exec, const Parameter& parameter);

}  // namespace moiety
