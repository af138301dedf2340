// Dense and grouped products at the shapes of known models.
#pragma once

#include <vector>

#include "core/bench/report.h"

namespace moiety::bench {

/// bf16 on CUDA; small f32 shapes on the CPU. Grouped ones have as many rows an expert as random
/// choices give; their weight gradients are f32 and written.
MOIETY_API std::vector<Row> bench_gemm(DeviceContext& context, int iterations);

}  // namespace moiety::bench
