// Combine weights that share 1 among a token's kept choices: w = p / sum of the kept p. A dropped
// choice leaves its share to the others (DeepSpeed's top2gating and topkgating).
#pragma once

#include <cstdint>

#include <moiety/gating_policy.h>
#include <moiety/rows.cuh>

namespace moiety {

namespace detail {

struct KeptShare {
  Rows<const float> probs;    // [T, E]
  Rows<const int32_t> index;  // [T, K], after dropping
  int64_t choices = 0;        // K

  static constexpr float kSmallest = 1.1920929e-7f;  // of the sum, torch.finfo(float32).eps

  MOIETY_HD float kept(int64_t t, int64_t k) const {
    const int32_t e = index[t][k];
    return e >= 0 ? probs[t][e] : 0.f;
  }
  MOIETY_HD float sum(int64_t t) const {
    float total = 0;
    for (int64_t k = 0; k < choices; ++k) total += kept(t, k);
    return total;
  }
};

struct KeptShareForward : KeptShare {
  Rows<float> weight;  // [T, K]
  MOIETY_HD void operator()(int64_t t) const {
    const float total = fmaxf(sum(t), kSmallest);
    for (int64_t k = 0; k < choices; ++k) weight[t][k] = kept(t, k) / total;
  }
};

struct KeptShareBackward : KeptShare {
  Rows<const float> dweight;  // [T, K]
  Rows<float> dkept;          // [T, K]: gradient of the kept probability
  MOIETY_HD void operator()(int64_t t) const {
    const float unclamped = sum(t), total = fmaxf(unclamped, kSmallest);
    float mean = 0;  // where the sum is clamped it is a constant and has no gradient
    if (unclamped >= kSmallest) {
      for (int64_t k = 0; k < choices; ++k) mean += kept(t, k) / total * dweight[t][k];
    }
    for (int64_t k = 0; k < choices; ++k) {
      dkept[t][k] = index[t][k] >= 0 ? (dweight[t][k] - mean) / total : 0.f;
    }
  }
};

}  // namespace detail

/// weight f32 [T, K] from probs f32 [T, E] and index i32 [T, K]; 0 where dropped or unused.
inline void kept_share(Exec& exec, ConstTensorView probs, ConstTensorView index,
                       TensorView weight) {
  for_each_row(exec, index.dim(0),
               detail::KeptShareForward{{probs.rows<float>(), index.rows<int32_t>(), index.dim(1)},
                                        weight.rows<float>()});
}

/// dkept f32 [T, K]: gradient of each kept choice's probability, 0 where dropped or unused.
inline void kept_share_backward(Exec& exec, ConstTensorView probs, ConstTensorView index,
                                ConstTensorView dweight, TensorView dkept) {
  for_each_row(exec, index.dim(0),
               detail::KeptShareBackward{{probs.rows<float>(), index.rows<int32_t>(), index.dim(1)},
                                         dweight.rows<float>(),
                                         dkept.rows<float>()});
}

}  // namespace moiety
