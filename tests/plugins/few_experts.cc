// A gate for at most four experts, to see which sizes it is asked about.
#include <moiety/gating_policy.h>
#include <moiety/ops.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

class FewExperts final : public GatingPolicy {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  FewExperts(const Options&, const ModelDims&) {}
  PlanShape plan_shape(int64_t, int64_t experts, bool) const override {
    if (experts > 4) throw ConfigError("at most 4 experts, got " + std::to_string(experts));
    return {.slots = 1};
  }
  void forward(Exec& exec, const GatingInputs&, const Params&, const RoutingPlan& plan,
               Saved&) const override {
    ops::fill(exec, plan.weight, 0);
  }
  void backward(Exec& exec, const GatingInputs&, const Params&, const RoutingPlan&, const Saved&,
                const RoutingGrad&, const GatingGrad& out) const override {
    ops::fill(exec, out.logits, 0);
  }
};

}  // namespace

MOIETY_PLUGIN("few_experts", "1.0.0") {
  plugin.add<FewExperts>("few_experts", "refuses more than four experts");
}
