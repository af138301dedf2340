// Adam as ds_config means it: decoupled weight decay unless `adam_w_mode: false`, which adds the
// decay to the gradient (L2), as Kingma and Ba's Adam (2015) would see it.
#include <moiety/plugin.h>
#include <moiety/adam.cuh>

namespace {

using namespace moiety;

struct Options {
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8, weight_decay = 0;
  bool adam_w_mode = true;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 10);
    s.field("betas", &Options::betas, "decay of the mean and of the variance")
        .length(2)
        .range(0, 0.9999999);
    s.field("eps", &Options::eps, "added to the deviation").range(1e-20, 1);
    s.field("weight_decay", &Options::weight_decay, "decoupled or L2, see adam_w_mode")
        .range(0, 10);
    s.field("adam_w_mode", &Options::adam_w_mode, "true: decoupled decay (AdamW); false: L2");
  }
};

class Adam final : public MultiTensorOptimizer<AdamRule> {
 public:
  using Options = ::Options;
  Adam(const Options& o, const ModelDims&)
      : MultiTensorOptimizer(AdamRule{o.betas[0], o.betas[1], o.eps, o.weight_decay, o.adam_w_mode},
                             {"mean", "variance"}) {}
};

}  // namespace

MOIETY_PLUGIN("adam", "1.0.0") {
  plugin.add<Adam>("adam", "Adam; decoupled decay by default, L2 with adam_w_mode: false");
}
