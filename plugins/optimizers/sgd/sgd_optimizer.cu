// Stochastic gradient descent with momentum and weight decay, as torch.optim.SGD computes it.
#include <moiety/plugin.h>
#include <moiety/multi_tensor.cuh>

namespace {

using namespace moiety;

struct Options {
  double lr = 1e-3, momentum = 0, weight_decay = 0;
  bool nesterov = false;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 100);
    s.field("momentum", &Options::momentum, "decay of the velocity; 0 = plain descent")
        .range(0, 0.9999999);
    s.field("weight_decay", &Options::weight_decay, "L2: added to the gradient").range(0, 10);
    s.field("nesterov", &Options::nesterov, "look ahead along the velocity; needs momentum");
  }
};

struct SgdRule {
  static constexpr int kStates = 1;  // velocity
  float momentum = 0, weight_decay = 0;
  bool nesterov = false;

  struct Step {
    float lr, decay;
  };

  MOIETY_HD Step prepare(const StepState& s, float lr_scale, float decay_scale) const {
    return {s.lr * lr_scale, weight_decay * decay_scale};
  }

  // torch starts the velocity at the first gradient: momentum * 0 + g is the same.
  MOIETY_HD float operator()(const Step& s, float w, float g, float* state) const {
    g += s.decay * w;
    const float velocity = momentum * state[0] + g;
    state[0] = velocity;
    return w - s.lr * (nesterov ? g + momentum * velocity : velocity);
  }
};

class Sgd final : public MultiTensorOptimizer<SgdRule> {
 public:
  using Options = ::Options;
  Sgd(const Options& o, const ModelDims&)
      : MultiTensorOptimizer(
            SgdRule{static_cast<float>(o.momentum), static_cast<float>(o.weight_decay), o.nesterov},
            {"velocity"}) {
    if (o.nesterov && o.momentum == 0) {
      throw ConfigError("nesterov is true and momentum 0; expected a momentum above 0, e.g. 0.9");
    }
  }
};

}  // namespace

MOIETY_PLUGIN("sgd", "1.0.0") {
  plugin.add<Sgd>("sgd", "gradient descent with momentum, Nesterov and L2 decay");
}
