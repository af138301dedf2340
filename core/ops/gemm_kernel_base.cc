// The core's own product for every CPU, and the question which build a CPU can run.
#include "core/ops/gemm_kernel.inc"

namespace moiety::ops::cpu {

bool avx2_usable() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") > 0 && __builtin_cpu_supports("fma") > 0;
#else
  return false;
#endif
}

void multiply_base(const Product& product) { multiply_blocked(product); }

}  // namespace moiety::ops::cpu
