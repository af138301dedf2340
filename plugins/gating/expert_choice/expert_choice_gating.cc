// Expert choice (Zhou et al., 2022, eq. 1-4): every expert takes the C tokens that want it most, so
// all have the same load. A token's experts depend on the other tokens of the batch, later ones of
// its sequence included.
#include <algorithm>

#include <moiety/gate_options.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>

namespace {

using namespace moiety;

class ExpertChoice final : public GatingPolicy {
 public:
  struct Options {
    double capacity_factor = 2, eval_capacity_factor = 2;
    bool allow_future_leak = false;
    static void describe(Schema<Options>& s) {
      s.field("capacity_factor", &Options::capacity_factor,
              "experts a token has on average, in training")
          .range(0.01, 1024);
      s.field("eval_capacity_factor", &Options::eval_capacity_factor, "the same in evaluation")
          .range(0.01, 1024);
      s.field("allow_future_leak", &Options::allow_future_leak,
              "take it for a causal model too, whose routing then depends on later tokens");
    }
  };
  ExpertChoice(const Options& options, const ModelDims&) : options_(options) {}

  const void* facet(std::string_view name) const override { return balances_itself(name); }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    const double factor = training ? options_.capacity_factor : options_.eval_capacity_factor;
    const int64_t most = std::max<int64_t>(T, 1);  // an expert takes a token once
    const int64_t places = std::clamp<int64_t>(capacity(T, E, factor, 1), 1, most);
    return {.layout = PlanLayout::kExpertMajor,
            .slots = places,
            .capacity = places,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved&) const override {
    ops::softmax_rows(exec, in.logits, plan.scores);
    ops::topk_columns(exec, plan.scores, in.token_mask, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved&, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dprobs = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::topk_columns_backward(exec, plan.index, grad.weight, dprobs);
    softmax_gate_backward(exec, plan, grad, dprobs, out);
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("expert_choice", "1.0.0") {
  plugin.add<ExpertChoice>("expert_choice", "every expert takes the tokens that want it most");
}
