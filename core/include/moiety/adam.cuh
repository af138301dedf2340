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
  };

  MOIETY_HD Step prepare(const StepState& s, float lr_scale, float decay_scale) const {
    const auto t = static_cast<double>(s.update);
    const double lr = static_cast<double>(s.lr) * static_cast<double>(lr_scale);
    const double decay = weight_decay * static_cast<double>(decay_scale);
    Step step;
    step.step_size = static_cast<float>(lr / (1 - pow(beta1, t)));
    step.correction = static_cast<float>(sqrt(1 - pow(beta2, t)));
    step.shrink = static_cast<float>(decoupled ? 1 - lr * decay : 1.0);
    step.l2 = static_cast<float>(decoupled ? 0.0 : decay);
    return step;
  }

  MOIETY_HD float operator()(const Step& s, float w, float g, float* state) const {
    g += s.l2 * w;
    w *= s.shrink;
    const float mean = state[0] + (g - state[0]) * static_cast<float>(1 - beta1);
    const float variance =
        static_cast<float>(beta2) * state[1] + static_cast<float>(1 - beta2) * (g * g);
    state[0] = mean;
    state[1] = variance;
    return w - s.step_size * (mean / (sqrtf(variance) / s.correction + static_cast<float>(eps)));
  }
};

}  // namespace moiety
