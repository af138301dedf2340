#include "core/testing/gate_plan.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

namespace moiety::testing {

namespace {

std::string shape_problem(const GateCall& c) {
  const bool sound = c.shape.slots >= 0 && c.shape.capacity >= 0 && c.shape.aux_losses >= 0 &&
                     c.shape.metrics >= 0;
  if (!sound) return "plan_shape has a negative size";
  if (c.token_major() && c.shape.slots > c.in.experts) {
    return fmt::format("plan_shape gives a token {} choices among {} experts", c.shape.slots,
                       c.in.experts);
  }
  return "";
}

}  // namespace

std::string plan_problem(const GateCall& c) {
  if (std::string problem = shape_problem(c); !problem.empty()) return problem;
  const int64_t bound = c.token_major() ? c.in.experts : c.in.tokens;
  std::set<std::pair<int64_t, int64_t>> pairs, places;
  for (size_t i = 0; i < c.index.size(); ++i) {
    const int32_t code = c.index[i], named = choice(code);
    if (named != kUnused && (named < 0 || named >= bound)) {
      return fmt::format("slot {} has index {}, expected one of {} {}", i, code, bound,
                         c.token_major() ? "experts" : "tokens");
    }
    if (code < 0) continue;
    if (!std::isfinite(c.weight[i]) || c.weight[i] < 0) {
      return fmt::format("slot {} has weight {}", i, c.weight[i]);
    }
    const int64_t row = static_cast<int64_t>(i) / c.shape.slots;
    if (!pairs.emplace(row, code).second) {
      return fmt::format("slot {}: the same token twice in one expert", i);
    }
    if (c.position.empty()) continue;
    const int32_t place = c.position[i];
    if (place < 0 || (c.shape.capacity > 0 && place >= c.shape.capacity)) {
      return fmt::format("slot {} has position {} of capacity {}", i, place, c.shape.capacity);
    }
    const int64_t expert = c.token_major() ? code : row;
    if (!places.emplace(expert, place).second) {
      return fmt::format("slot {}: position {} of expert {} is taken twice", i, place, expert);
    }
  }
  return "";
}

std::string padding_problem(const GateCall& c) {
  for (size_t i = 0; i < c.index.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / c.shape.slots;
    const int32_t code = c.index[i];
    if (c.token_major() && !c.in.used(row) && code != kUnused) {
      return fmt::format("padded token {} has index {}, expected kUnused", row, code);
    }
    if (!c.token_major() && code >= 0 && !c.in.used(code)) {
      return fmt::format("expert {} takes the padded token {}", row, code);
    }
  }
  return "";
}

std::string finite_problem(const GateCall& c) {
  const std::pair<const char*, const std::vector<float>*> all[] = {{"aux_loss", &c.aux},
                                                                   {"metrics", &c.metrics},
                                                                   {"scores", &c.scores},
                                                                   {"grad.logits", &c.dlogits},
                                                                   {"grad.x", &c.dx}};
  for (const auto& [name, values] : all) {
    if (!finite(*values)) return std::string(name) + " is not finite";
  }
  return "";
}

std::string plan_difference(const GateCall& a, const GateCall& b) {
  if (a.index != b.index) return "index";
  for (size_t i = 0; i < a.index.size(); ++i) {
    if (a.index[i] < 0) continue;  // weight and position are ignored there
    if (!same_bits({a.weight[i]}, {b.weight[i]})) return "weight";
    if (!a.position.empty() && a.position[i] != b.position[i]) return "position";
  }
  if (!same_bits(a.scores, b.scores)) return "scores";
  if (!same_bits(a.aux, b.aux)) return "aux_loss";
  if (!same_bits(a.metrics, b.metrics)) return "metrics";
  if (!same_bits(a.dlogits, b.dlogits)) return "the gradient of the logits";
  return same_bits(a.dx, b.dx) ? "" : "the gradient of x";
}

}  // namespace moiety::testing
