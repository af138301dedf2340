// The core's own product for CPUs with AVX2 and FMA; CMake sets the flags of this file.
#include "core/ops/gemm_kernel.inc"

namespace moiety::ops::cpu {

void multiply_avx2(const Product& product) { multiply_blocked(product); }

}  // namespace moiety::ops::cpu
