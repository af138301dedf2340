// The kernel for CPUs with AVX2 and FMA: 12 of 16 registers are sums. CMake sets the flags of this
// file.
#include <cstdint>

namespace moiety::ops::cpu {
namespace {
constexpr int64_t kRows = 6, kLanes = 8, kVectors = 2;
}  // namespace
}  // namespace moiety::ops::cpu

#include "core/ops/gemm_kernel.inc"

namespace moiety::ops::cpu {

GemmKernel avx2_kernel() { return kKernel; }

}  // namespace moiety::ops::cpu
