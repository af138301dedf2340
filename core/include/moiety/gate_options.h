// Options that gates have in common: how many choices an expert takes, and who keeps a place in a
// full one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <moiety/capacity.h>
#include <moiety/ops.h>
#include <moiety/options.h>

namespace moiety {

/// DeepSpeed's names and defaults; a gate that is dropless by default sets drop_tokens to false.
struct CapacityOptions {
  double capacity_factor = 1, eval_capacity_factor = 1;
  int64_t min_capacity = 4;
  bool drop_tokens = true;

  /// PlanShape::capacity where a token makes `choices` choices: 0 without dropping.
  int64_t places(int64_t tokens, int64_t experts, int64_t choices, bool training) const {
    const double factor = training ? capacity_factor : eval_capacity_factor;
    if (!drop_tokens) return 0;
    return capacity(tokens, experts, factor * static_cast<double>(choices), min_capacity);
  }
};

/// Declares the options of a struct that derives from CapacityOptions.
template <class O>
void describe_capacity(Schema<O>& s) {
  s.template field<double>("capacity_factor", &O::capacity_factor,
                           "slots of an expert over the even share, in training")
      .range(0.01, 1024);
  s.template field<double>("eval_capacity_factor", &O::eval_capacity_factor,
                           "the same in evaluation")
      .range(0.01, 1024);
  s.template field<int64_t>("min_capacity", &O::min_capacity, "slots an expert has at least")
      .range(0, 1 << 20);
  s.template field<bool>("drop_tokens", &O::drop_tokens, "false: no capacity, no token is dropped");
}

/// A capacity, and a rule for who stays within it.
struct SeatingOptions : CapacityOptions {
  std::string drop_policy = "probs";

  /// Writes plan.position, and dropped() into plan.index. `score` f32 [T, K] of each choice.
  void seat(Exec& exec, int64_t experts, ConstTensorView score, const RoutingPlan& plan) const {
    if (plan.capacity > 0 && drop_policy == "probs") {
      ops::assign_positions_by_priority(exec, experts, plan.capacity, score, plan.index,
                                        plan.position);
    } else {
      ops::assign_positions(exec, ops::SlotOrder::kToken, experts, plan.capacity, plan.index,
                            plan.position);
    }
  }
};

template <class O>
void describe_seating(Schema<O>& s) {
  describe_capacity(s);
  s.template field<std::string>("drop_policy", &O::drop_policy,
                                "whom a full expert keeps: the most likely tokens or the first "
                                "ones")
      .one_of({"probs", "position"});
}

/// GatingPolicy::facet() of gates that keep the loads even by themselves, without a loss: nobody
/// then warns that no loss balances them.
inline const void* balances_itself(std::string_view facet) {
  static constexpr bool kYes = true;
  return facet == "balances_itself" ? &kYes : nullptr;
}

/// Throws ConfigError where a token has more choices than the layer has experts.
inline void check_choices(int64_t choices, int64_t experts) {
  if (choices <= experts) return;
  throw ConfigError("a token is sent to k = " + std::to_string(choices) +
                    " experts, but the layer has " + std::to_string(experts) +
                    "; lower moe.k or raise moe.num_experts");
}

}  // namespace moiety
