// Lion (Chen et al., 2023, "Symbolic Discovery of Optimization Algorithms", Program 1): the sign of
// an interpolated momentum, with decoupled weight decay.
#include <moiety/plugin.h>
#include <moiety/multi_tensor.cuh>

namespace {

using namespace moiety;

struct Options {
  double lr = 1e-4;
  std::vector<double> betas = {0.9, 0.99};
  double weight_decay = 0;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr,
            "learning rate; a scheduler changes it. Three to ten times below AdamW's")
        .range(0, 10);
    s.field("betas", &Options::betas,
            "share of the momentum in the update's direction, decay of the momentum")
        .length(2)
        .range(0, 0.9999999);
    s.field("weight_decay", &Options::weight_decay,
            "decoupled: times the learning rate. Three to ten times above AdamW's")
        .range(0, 10);
  }
};

struct LionRule {
  static constexpr int kStates = 1;  // momentum
  double beta1 = 0.9, beta2 = 0.99, weight_decay = 0;

  struct Step {
    float lr, shrink;
    float kept, added;        // beta1, 1 - beta1: of the direction
    float kept_on, added_on;  // beta2, 1 - beta2: of the momentum
  };

  MOIETY_HD Step prepare(const StepState& s, float lr_scale, float decay_scale) const {
    const double lr = static_cast<double>(s.lr) * static_cast<double>(lr_scale);
    const double decay = weight_decay * static_cast<double>(decay_scale);
    const double b1 = s.first_beta(beta1), b2 = s.second_beta(beta2);
    return {static_cast<float>(lr), static_cast<float>(1 - lr * decay),
            static_cast<float>(b1), static_cast<float>(1 - b1),
            static_cast<float>(b2), static_cast<float>(1 - b2)};
  }

  MOIETY_HD float operator()(const Step& s, float w, float g, float* state) const {
    const float momentum = state[0];
    const float direction = s.kept * momentum + s.added * g;
    state[0] = s.kept_on * momentum + s.added_on * g;
    const float sign = direction > 0 ? 1.f : direction < 0 ? -1.f : direction;  // 0 and NaN stay
    return w * s.shrink - s.lr * sign;
  }
};

class Lion final : public MultiTensorOptimizer<LionRule> {
 public:
  using Options = ::Options;
  Lion(const Options& o, const ModelDims&)
      : MultiTensorOptimizer(LionRule{o.betas[0], o.betas[1], o.weight_decay}, {"momentum"}) {}
};

}  // namespace

MOIETY_PLUGIN("lion", "1.0.0") {
  plugin.add<Lion>("lion", "sign of an interpolated momentum, with decoupled weight decay");
}
