// The way back to the logits of gates whose scores are softmax(logits), and what DeepSpeed's three
// gates share (moe/sharded_moe.py): the noise on the router's input and the auxiliary loss.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <moiety/gate_options.h>

namespace moiety {

/// dlogits from dprobs f32 [T, E] (used up) and from what reaches plan.scores.
inline void softmax_gate_backward(Exec& exec, const RoutingPlan& plan, const RoutingGrad& grad,
                                  TensorView dprobs, const GatingGrad& out) {
  if (grad.scores) ops::add(exec, dprobs, grad.scores, dprobs);
  ops::softmax_rows_backward(exec, plan.scores, dprobs, out.logits);
}

struct DeepSpeedGateOptions : SeatingOptions {
  std::string noisy_gate_policy = "None";
};

template <class O>
void describe_noise(Schema<O>& s, const char* doc, std::vector<std::string> policies) {
  s.template field<std::string>("noisy_gate_policy", &O::noisy_gate_policy, doc)
      .one_of(std::move(policies));
}

/// Facet "router_input_jitter" under the policy Jitter: U[1 - 0.01, 1 + 0.01).
inline const void* deepspeed_facet(const DeepSpeedGateOptions& options, std::string_view name) {
  static constexpr double kJitter = 1e-2;
  const bool jitter = options.noisy_gate_policy == "Jitter";
  return name == "router_input_jitter" && jitter ? &kJitter : nullptr;
}

/// l_aux = E / K * sum over experts of (mean probability, padding included) * (choices in `counted`
/// [T, K], before dropping, over T). Keeps "counts" for the backward.
inline void deepspeed_loss(Exec& exec, const RoutingPlan& plan, ConstTensorView counted,
                           Saved& saved) {
  const int64_t T = plan.scores.dim(0), E = plan.scores.dim(1), K = counted.dim(1);
  const TensorView counts = saved.keep("counts", DType::kF32, {E});
  const TensorView mean = exec.scratch(DType::kF32, {E});
  ops::expert_counts(exec, counted, counts);
  ops::column_mean(exec, plan.scores, {}, mean);
  const double factor = T == 0 ? 0 : static_cast<double>(E) / static_cast<double>(K * T);
  ops::dot(exec, mean, counts, factor, plan.aux_loss);
}

/// dlogits from dchosen f32 [T, K], the gradient of the kept choices' probabilities, from l_aux
/// over `counted` choices a token, and from the scores.
inline void deepspeed_backward(Exec& exec, const RoutingPlan& plan, const Saved& saved,
                               const RoutingGrad& grad, ConstTensorView dchosen, int64_t counted,
                               const GatingGrad& out) {
  const int64_t T = plan.scores.dim(0), E = plan.scores.dim(1);
  const TensorView dprobs = exec.scratch(DType::kF32, {T, E});
  ops::topk_rows_backward(exec, plan.index, dchosen, dprobs);
  if (T > 0) {
    const double factor = static_cast<double>(E) / static_cast<double>(counted * T);
    ops::add_to_rows(exec, saved["counts"], grad.aux_loss, factor / static_cast<double>(T), {},
                     dprobs);
  }
  softmax_gate_backward(exec, plan, grad, dprobs, out);
}

}  // namespace moiety
