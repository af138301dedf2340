// Transposed copies of parameters.
#pragma once

#include <cstdint>
#include <vector>

#include <moiety/exec.h>

namespace moiety::ops {

/// [L, K, rest] -> {L, rest, K}; the axes after the second are taken as one. A matrix [K, N] counts
/// as L = 1 and keeps two axes.
MOIETY_API std::vector<int64_t> transposed_shape(const TensorView& x);
/// to = each matrix of `from` turned; converts between f32, bf16 and f16. Both contiguous.
MOIETY_API void transpose(Exec&, ConstTensorView from, TensorView to);

}  // namespace moiety::ops
