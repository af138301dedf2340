// RMS norm of parts of a row, each on its own: of every head of the queries and keys (Henry et al.,
// 2020; Qwen3), or of all heads together with one group (OLMoE).
#pragma once

#include <cstdint>

#include <moiety/exec.h>
#include <moiety/params.h>

namespace moiety::ops {

/// y = x * rstd * weight for each of `groups` parts of D elements of a row. x, y [T, groups * D] in
/// the compute dtype, their rows may be strided; weight f32 [D]; statistics f32 [T, groups] = rstd,
/// for backward.
MOIETY_API void group_rms_norm(Exec&, double eps, int64_t groups, ConstTensorView x,
                               ConstTensorView weight, TensorView y, TensorView statistics);
/// Writes dx [T, groups * D], which may alias dy, and the gradient of the weight as its grad_mode()
/// says, summed in a fixed order.
MOIETY_API void group_rms_norm_backward(Exec&, int64_t groups, ConstTensorView x,
                                        const Parameter& weight, ConstTensorView statistics,
                                        ConstTensorView dy, TensorView dx);

}  // namespace moiety::ops
