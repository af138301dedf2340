#include "core/testing/expert_layout.h"

#include <cstddef>
#include <numeric>

namespace moiety::testing {

std::vector<Choice> usual_choices(int64_t tokens, int64_t experts) {
  std::vector<Choice> choices;
  const auto E = static_cast<int32_t>(experts);
  for (int32_t s = 0; s < 2 * tokens; ++s) {
    const int32_t e = (s / 2 + s % 2 * (E / 2)) % E;
    if (s % 7 != 6 && !(E == 1 && s % 2 == 1)) choices.push_back({s / 2, e == 3 ? 0 : e});
  }
  return choices;
}

SlotPlan lay_out(const std::vector<Choice>& choices, int64_t tokens, int64_t experts,
                 SlotLayout layout) {
  const bool received = layout == SlotLayout::kReceived;
  const std::size_t groups = static_cast<std::size_t>(experts) * (received ? 2 : 1);
  const int32_t room = layout == SlotLayout::kSorted ? 0 : 3;
  SlotPlan plan;
  plan.start.assign(groups, 0), plan.count.assign(groups, 0);
  std::vector<std::size_t> group(choices.size());
  for (std::size_t i = 0; i < choices.size(); ++i) {
    // The first half of the tokens comes from rank 0, the second from rank 1.
    const bool second = received && choices[i].token >= tokens / 2;
    group[i] = static_cast<std::size_t>(choices[i].expert) + (second ? groups / 2 : 0);
    ++plan.count[group[i]];
  }
  int32_t next = room;  // no segment begins at slot 0 where there is padding
  for (std::size_t g = 0; g < groups; ++g) {
    plan.start[g] = next;
    next += plan.count[g] + room;
  }
  const auto slots = static_cast<std::size_t>(next) + (layout == SlotLayout::kSorted ? 5 : 0);
  plan.row.assign(slots, -1);
  plan.slot.resize(choices.size());
  std::vector<int32_t> filled(groups, 0);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    plan.slot[i] = plan.start[group[i]] + filled[group[i]]++;
    plan.row[static_cast<std::size_t>(plan.slot[i])] = received ? plan.slot[i] : choices[i].token;
  }
  plan.rows = received ? static_cast<int64_t>(slots) : tokens;
  plan.token.assign(static_cast<std::size_t>(plan.rows), -1);
  if (!received) std::iota(plan.token.begin(), plan.token.end(), 0);
  for (std::size_t i = 0; received && i < choices.size(); ++i) {
    plan.token[static_cast<std::size_t>(plan.slot[i])] = choices[i].token;
  }
  return plan;
}

}  // namespace moiety::testing
