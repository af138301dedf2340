// Attention alone, forward and backward, at the shapes of known models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/bench/report.h"

namespace moiety::bench {

struct AttentionSize {
  std::string name;
  int64_t batch = 1, heads = 1, kv_heads = 1, sequence = 1, head_dim = 1;
};

/// Shapes of models; small ones for the CPU.
MOIETY_API std::vector<AttentionSize> attention_sizes(DeviceType device);

struct AttentionOptions {
  int iterations = 25;
  bool deterministic = false;  // of the backward, as run.deterministic
  bool own_kernels = false;    // the core's, though cuDNN has some
  int64_t documents = 0;       // of a sequence on average, of random lengths; 0: it is one
};

/// Two rows a size, forward and backward; bf16 on CUDA, f32 on the CPU. Causal, with q, k and v
/// side by side in their rows. FLOPs are those of the scores that count. Out and dqkv of the first
/// sequence are compared with the core's own kernels in f32 first.
MOIETY_API std::vector<Row> bench_attention(DeviceContext& context,
                                            const std::vector<AttentionSize>& sizes,
                                            const AttentionOptions& options);

}  // namespace moiety::bench
