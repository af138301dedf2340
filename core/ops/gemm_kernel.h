// The core's own product, built once for every CPU and once for AVX2 with FMA.
#pragma once

#include "core/ops/gemm_cpu.h"

namespace moiety::ops::cpu {

MOIETY_API bool avx2_usable();
/// On the calling thread; m, n, k > 0. Every element is summed over k in the same order wherever
/// its tile lies, so a row alone gives the bits that it has in a larger product.
MOIETY_API void multiply_base(const Product& product);
MOIETY_API void multiply_avx2(const Product& product);

}  // namespace moiety::ops::cpu
