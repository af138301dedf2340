// Sums over the columns of a slot's row.
#pragma once

#include <moiety/expert_type.h>

namespace moiety::ops {

/// sum[n] = the sum of parts[n, :], f32, for slots that are no padding.
void add_parts(Exec& exec, const ExpertBatch& batch, ConstTensorView parts, TensorView sum);

}  // namespace moiety::ops
