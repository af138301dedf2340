// The kernel for every CPU, and the question which build a CPU can run.
#include <cstdint>

namespace moiety::ops::cpu {
namespace {
constexpr int64_t kRows = 4, kLanes = 8, kVectors = 2;
}  // namespace
}  // namespace moiety::ops::cpu

#include "core/ops/gemm_kernel.inc"

namespace moiety::ops::cpu {

GemmKernel base_kernel() { return kKernel; }

#if defined(__x86_64__)
bool avx2_usable() {
  return __builtin_cpu_supports("avx2") > 0 && __builtin_cpu_supports("fma") > 0;
}
bool avx512_usable() { return __builtin_cpu_supports("avx512f") > 0; }
#else
bool avx2_usable() { return false; }
bool avx512_usable() { return false; }
#endif

const GemmKernel& widest_kernel() {
  static const GemmKernel kernel = avx512_usable() ? avx512_kernel()
                                   : avx2_usable() ? avx2_kernel()
                                                   : base_kernel();
  return kernel;
}

}  // namespace moiety::ops::cpu
