// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
#include <moiety/plugin.h>
#include <moiety/adam.cuh>

namespace {

using namespace moiety;

struct Options {
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8, weight_decay = 0;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 10);
    s.field("betas", &Options::betas, "decay of the mean and of the variance")
        .length(2)
        .range(0, 0.9999999);
    s.field("eps", &Options::eps, "added to the deviation").range(1e-20, 1);
    s.field("weight_decay", &Options::weight_decay, "decoupled: times the learning rate")
        .range(0, 10);
  }
};

class AdamW final : public MultiTensorOptimizer<AdamRule> {
 public:
  using Options = ::Options;
  AdamW(const Options& o, const ModelDims&)
      : MultiTensorOptimizer(AdamRule{o.betas[0], o.betas[1], o.eps, o.weight_decay, true},
                             {"mean", "variance"}) {}
};

}  // namespace

MOIETY_PLUGIN("adamw", "1.0.0") { plugin.add<AdamW>("adamw", "Adam with decoupled weight decay"); }
