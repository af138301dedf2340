// Dense and grouped products at the shapes of known models.
#pragma once

#include <vector>

#include "core/bench/report.h"

namespace moiety::bench {

/// bf16 on CUDA; small f32 shapes on the CPU. Grouped ones have as many rows an expert as random
/// choices give; their weight gradients are f32 and written.
MOIETY_API std::vector<Row> bench_gemm(DeviceContext& context, int iterations);

/// The dense shapes in bf16 and in FP8: y, dx and dw with the quantisation of their operands and
/// without it. dw is f32 and written.
MOIETY_API std::vector<Row> bench_fp8_gemm(DeviceContext& context, int iterations);

}  // namespace moiety::bench
