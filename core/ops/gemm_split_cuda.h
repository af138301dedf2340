// Products of f32 numbers on tensor cores that multiply bf16: an f32 number is exactly the sum of
// three bf16 ones (8 bits of significand each), unless it is below 2^-110 or not finite.
#pragma once

#include <moiety/exec.h>

#include "core/ops/gemm.h"

namespace moiety::ops::cuda {

/// Whether a product's dtypes are for split_gemm().
bool operands_differ(ConstTensorView a, ConstTensorView b, ConstTensorView c);

/// c = (or +=) op(a) op(b), one operand f32 and the other bf16 or f16 (c f32), or both f32 and c
/// narrower. A bf16 operand meets the three pieces of the other, the least first, so that products
/// are exact and sums those of f32. Where c is bf16, and rounds to 8 bits, the pieces' products
/// below 2^-16 are left out.
void split_gemm(Exec&, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form);

}  // namespace moiety::ops::cuda
