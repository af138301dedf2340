// Combine weights from the scores of a token's choices: w = scale * s, or its share
// w = scale * s / (sum of the chosen s + epsilon). A dropped choice keeps its share to itself: the
// others do not grow (kept_share.cuh is DeepSpeed's other rule).
#pragma once

#include <cstdint>

#include <moiety/gating_policy.h>
#include <moiety/rows.cuh>

namespace moiety {

struct ShareForm {
  bool normalize = true;
  float epsilon = 0, scale = 1;
};

namespace detail {

struct ChosenShare {
  Rows<const float> scores;   // [T, E]
  Rows<const int32_t> index;  // [T, K], after dropping
  int64_t choices = 0;        // K
  ShareForm form;

  MOIETY_HD float score(int64_t t, int64_t k) const {
    const int32_t e = choice(index[t][k]);
    return e == kUnused ? 0.f : scores[t][e];
  }
  MOIETY_HD float divisor(int64_t t) const {
    if (!form.normalize) return 1;
    float total = 0;
    for (int64_t k = 0; k < choices; ++k) total += score(t, k);
    return total + form.epsilon;
  }
};

struct ChosenShareForward : ChosenShare {
  Rows<float> weight;  // [T, K]
  MOIETY_HD void operator()(int64_t t) const {
    const float total = divisor(t);
    for (int64_t k = 0; k < choices; ++k) {
      weight[t][k] = index[t][k] >= 0 ? score(t, k) / total * form.scale : 0.f;
    }
  }
};

struct ChosenShareBackward : ChosenShare {
  Rows<const float> dweight;  // [T, K], 0 where dropped
  Rows<float> dscores;        // [T, E]
  int64_t experts = 0;
  MOIETY_HD void operator()(int64_t t) const {
    for (int64_t e = 0; e < experts; ++e) dscores[t][e] = 0;
    const float total = divisor(t);
    float mean = 0;
    for (int64_t k = 0; form.normalize && k < choices; ++k) {
      if (index[t][k] >= 0) mean += score(t, k) / total * dweight[t][k];
    }
    for (int64_t k = 0; k < choices; ++k) {
      const int32_t e = choice(index[t][k]);
      const float dw = index[t][k] >= 0 ? dweight[t][k] : 0.f;
      if (e != kUnused) dscores[t][e] = (dw - mean) / total * form.scale;
    }
  }
};

}  // namespace detail

/// weight f32 [T, K] from scores f32 [T, E] and index i32 [T, K]; 0 where dropped or unused.
inline void chosen_share(Exec& exec, const ShareForm& form, ConstTensorView scores,
                         ConstTensorView index, TensorView weight) {
  const detail::ChosenShare share{scores.rows<float>(), index.rows<int32_t>(), index.dim(1), form};
  for_each_row(exec, index.dim(0), detail::ChosenShareForward{share, weight.rows<float>()});
}

/// Writes all of dscores f32 [T, E]: 0 where nothing was chosen.
inline void chosen_share_backward(Exec& exec, const ShareForm& form, ConstTensorView scores,
                                  ConstTensorView index, ConstTensorView dweight,
                                  TensorView dscores) {
  const detail::ChosenShare share{scores.rows<float>(), index.rows<int32_t>(), index.dim(1), form};
  for_each_row(exec, index.dim(0),
               detail::ChosenShareBackward{share, dweight.rows<float>(), dscores.rows<float>(),
                                           dscores.dim(1)});
}

}  // namespace moiety
