// What a layer's routing did, added to the step's sums in device memory.
#include <cmath>

#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/column_sums.cuh"
#include "core/ops/routing.h"
#include "core/ops/routing_statistics_cuda.cuh"

namespace moiety::ops {

namespace {

struct Plan {
  Rows<const int32_t> index;
  int64_t K;
};

struct Chosen {
  Plan plan;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    int32_t n = 0;
    for (int64_t k = 0; k < plan.K; ++k) n += choice(plan.index[t][k]) == e ? 1 : 0;
    return static_cast<float>(n);
  }
};

struct Dropped {
  Plan plan;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    int32_t n = 0;
    for (int64_t k = 0; k < plan.K; ++k) {
      const int32_t i = plan.index[t][k];
      n += i < 0 && choice(i) == e ? 1 : 0;
    }
    return static_cast<float>(n);
  }
};

/// Row c of an expert-major plan's transpose: expert e takes a token in slot c.
struct Takes {
  Plan plan;
  MOIETY_HD float operator()(int64_t c, int64_t e) const {
    return plan.index[e][c] >= 0 ? 1.f : 0.f;
  }
};

struct Probability {
  const float* probs;
  const uint8_t* mask;
  int64_t E;
  MOIETY_HD float operator()(int64_t t, int64_t e) const {
    return mask == nullptr || mask[t] != 0 ? probs[t * E + e] : 0.f;
  }
};

struct Entropy {
  const float* probs;
  const uint8_t* mask;
  int64_t E;
  MOIETY_HD float operator()(int64_t t, int64_t) const {
    if (mask != nullptr && mask[t] == 0) return 0;
    float sum = 0;
    for (int64_t e = 0; e < E; ++e) {
      const float p = probs[t * E + e];
      sum -= p > 0 ? p * logf(p) : 0.f;
    }
    return sum;
  }
};

struct Token {
  const uint8_t* mask;
  MOIETY_HD float operator()(int64_t t, int64_t) const {
    return mask == nullptr || mask[t] != 0 ? 1.f : 0.f;
  }
};

}  // namespace

void routing_statistics(Exec& exec, const RoutingPlan& plan, PlanLayout layout,
                        ConstTensorView logits, ConstTensorView token_mask,
                        const RoutingSums& sums) {
  const int64_t T = logits.dim(0), E = logits.dim(1);
  const uint8_t* mask = token_mask ? token_mask.data<uint8_t>() : nullptr;
  const bool expert_major = layout == PlanLayout::kExpertMajor;
  const Plan p{ConstTensorView(plan.index).rows<int32_t>(), plan.index.dim(1)};
  if (expert_major) {
    column_sums(exec, plan.index.dim(1), E, Takes{p}, sums.chosen.data<float>(), true);
  }
#if defined(__CUDACC__)
  if (exec.is_cuda() && E <= kMostStatisticsExperts) {
    return routing_statistics_cuda(
        exec, {logits.rows<float>(), mask, p.index, T, E, expert_major ? 0 : p.K, 0}, sums);
  }
#endif
  if (!expert_major) {
    column_sums(exec, T, E, Chosen{p}, sums.chosen.data<float>(), true);
    column_sums(exec, T, E, Dropped{p}, sums.dropped.data<float>(), true);
  }
  const TensorView probs = exec.scratch(DType::kF32, {T, E});
  softmax_rows(exec, logits, probs);
  const float* data = probs.data<float>();
  column_sums(exec, T, E, Probability{data, mask, E}, sums.probability.data<float>(), true);
  column_sums(exec, T, 1, Entropy{data, mask, E}, sums.entropy.data<float>(), true);
  column_sums(exec, T, 1, Token{mask}, sums.tokens.data<float>(), true);
}

}  // namespace moiety::ops
