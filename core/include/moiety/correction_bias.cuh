// Balancing without a loss (Wang et al., 2024, algorithm 1; DeepSeek-V3, section 2.1.2): a bias for
// each expert is added to the scores for the selection alone, and after each step it moves by a
// fixed speed against the expert's load.
#pragma once

#include <cstdint>

#include <moiety/gating_policy.h>
#include <moiety/rows.cuh>

namespace moiety {

/// The buffer's name: f32 [E], 0 at the start, saved in checkpoints.
inline constexpr const char* kCorrectionBias = "correction_bias";

namespace detail {

struct MoveBias {
  float* bias;
  const float* load;  // [E]: choices in the train batch
  const StepState* step;
  int64_t experts;
  float speed;
  MOIETY_HD void operator()(int64_t e) const {
    if (step->skip != 0) return;  // the loads of a batch that overflowed say nothing
    double sum = 0;
    for (int64_t i = 0; i < experts; ++i) sum += static_cast<double>(load[i]);
    const double excess = static_cast<double>(load[e]) * static_cast<double>(experts) - sum;
    if (excess > 0) bias[e] -= speed;
    if (excess < 0) bias[e] += speed;
  }
};

struct AddBias {
  Rows<const float> scores;
  const float* bias;
  Rows<float> ranked;
  int64_t experts;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t t = i / experts, e = i % experts;
    ranked[t][e] = scores[t][e] + bias[e];
  }
};

}  // namespace detail

/// bias[e] += speed * sign(mean load - load[e]), in GatingPolicy::end_step.
inline void move_correction_bias(Exec& exec, const Params& params, ConstTensorView load,
                                 double speed) {
  const TensorView bias = params[kCorrectionBias].value();
  for_each_row(exec, bias.numel(),
               detail::MoveBias{bias.data<float>(), load.data<float>(), exec.step(), bias.numel(),
                                static_cast<float>(speed)});
}

/// ranked [T, E] = scores + bias.
inline void add_correction_bias(Exec& exec, const Params& params, ConstTensorView scores,
                                TensorView ranked) {
  const int64_t E = scores.dim(1);
  for_each_row(exec, scores.dim(0) * E,
               detail::AddBias{scores.rows<float>(),
                               ConstTensorView(params[kCorrectionBias].value()).data<float>(),
                               ranked.rows<float>(), E});
}

}  // namespace moiety
