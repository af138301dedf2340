// The kernel for CPUs with AVX-512: 24 of 32 registers are sums. CMake sets the flags of this file.
#include <cstdint>

namespace moiety::ops::cpu {
namespace {
constexpr int64_t kRows = 8, kLanes = 16, kVectors = 3;
}  // namespace
}  // namespace moiety::ops::cpu

#include "core/ops/gemm_kernel.inc"

namespace moiety::ops::cpu {

GemmKernel avx512_kernel() { return kKernel; }

}  // namespace moiety::ops::cpu
