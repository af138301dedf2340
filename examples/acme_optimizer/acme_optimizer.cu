// Optimizer `acme`: the sign of a running mean of gradients (signSGD with momentum; Bernstein et
// al., 2018), with decoupled weight decay.
#include <moiety/plugin.h>
#include <moiety/multi_tensor.cuh>

namespace {

using namespace moiety;

// The arithmetic of one element. `w` is the f32 weight, `g` the gradient, unscaled and clipped.
struct AcmeRule {
  static constexpr int kStates = 1;  // mean
  float momentum = 0, weight_decay = 0;

  struct Step {
    float lr, shrink;
  };

  // What is the same for all elements of a tensor. The rate of the step comes from the device.
  MOIETY_HD Step prepare(const StepState& s, float lr_scale, float decay_scale) const {
    const float lr = s.lr * lr_scale;
    return {lr, 1.0f - lr * weight_decay * decay_scale};
  }

  MOIETY_HD float operator()(const Step& s, float w, float g, float* state) const {
    const float mean = momentum * state[0] + (1.0f - momentum) * g;
    state[0] = mean;
    const float sign = mean > 0 ? 1.0f : mean < 0 ? -1.0f : 0.0f;
    return w * s.shrink - s.lr * sign;
  }
};

class AcmeOptimizer final : public MultiTensorOptimizer<AcmeRule> {
 public:
  struct Options {
    double lr = 1e-3, momentum = 0.9, weight_decay = 0;
    static void describe(Schema<Options>& s) {
      s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 10);
      s.field("momentum", &Options::momentum, "decay of the mean of gradients").range(0, 0.9999);
      s.field("weight_decay", &Options::weight_decay, "decoupled: times the learning rate")
          .range(0, 10);
    }
  };
  AcmeOptimizer(const Options& o, const ModelDims&)
      : MultiTensorOptimizer(
            AcmeRule{static_cast<float>(o.momentum), static_cast<float>(o.weight_decay)},
            {"mean"}) {}
};

}  // namespace

MOIETY_PLUGIN("acme", "0.1.0") {
  plugin.add<AcmeOptimizer>("acme", "Descent by the sign of the mean gradient");
}
