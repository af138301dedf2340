// Adam (Kingma and Ba, 2015), with decoupled weight decay (Loshchilov and Hutter, 2019) or L2, for
// MultiTensorOptimizer. Constants are rounded where torch.optim rounds them.
#pragma once

#include <cmath>

#include <moiety/multi_tensor.cuh>

namespace moiety {

struct AdamRule {
  static constexpr int kStates = 2;  // mean, variance
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = true;

  struct Step {
    float step_size, correction, shrink, l2;
    float mean_share, keep, variance_share;  // 1 - beta1, beta2, 1 - beta2
  };

  MOIETY_HD Step prepare(const StepState& s, float lr_scale, float decay_scale) const {
    const auto t = static_cast<double>(s.update);
    const double lr = static_cast<double>(s.lr) * static_cast<double>(lr_scale);
    const double decay = weight_decay * static_cast<double>(decay_scale);
    const double b1 = s.first_beta(beta1), b2 = s.second_beta(beta2);
    Step step;
    step.step_size = static_cast<float>(lr / (1 - pow(b1, t)));
    step.correction = static_cast<float>(sqrt(1 - pow(b2, t)));
    step.shrink = static_cast<float>(decoupled ? 1 - lr * decay : 1.0);
    step.l2 = static_cast<float>(decoupled ? 0.0 : decay);
    step.mean_share = static_cast<float>(1 - b1);
    step.keep = static_cast<float>(b2);
    step.variance_share = static_cast<float>(1 - b2);
    return step;
  }

  MOIETY_HD float operator()(const Step& s, float w, float g, float* state) const {
    g += s.l2 * w;
    w *= s.shrink;
    const float mean = state[0] + (g - state[0]) * s.mean_share;
    const float variance = s.keep * state[1] + s.variance_share * (g * g);
    state[0] = mean;
    state[1] = variance;
    return w - s.step_size * (mean / (sqrtf(variance) / s.correction + static_cast<float>(eps)));
  }
};

}  // namespace moiety
