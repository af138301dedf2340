// The end of a model alone: final norm, product with the vocabulary, cross entropy, and back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/bench/report.h"

namespace moiety::bench {

struct LossSize {
  std::string name;
  int64_t rows = 1, hidden = 1, vocab = 1;
};

/// Shapes of models; a small one for the CPU.
MOIETY_API std::vector<LossSize> loss_sizes(DeviceType device);

/// Loss, dx and the weight's gradient, written; bf16 on CUDA, f32 on the CPU. Peak memory is what
/// it takes beside x, dx, the weight and its gradient. The first rows are compared with f32 first.
MOIETY_API std::vector<Row> bench_loss(DeviceContext& context, const std::vector<LossSize>& sizes,
                                       int iterations);

}  // namespace moiety::bench
