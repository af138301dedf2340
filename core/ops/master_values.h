// Values of 16 bits from f32 masters.
#pragma once

#include <moiety/exec.h>

namespace moiety::ops {

/// value = value_of_master(master), of <moiety/master_weight.h>. master f32, value bf16 or f16;
/// contiguous, as many elements.
MOIETY_API void master_values(Exec&, ConstTensorView master, TensorView value);

}  // namespace moiety::ops
