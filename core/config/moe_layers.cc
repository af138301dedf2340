// Which layers are MoE layers, and how many experts each has.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/strings.h"
#include "core/config/moe.h"

namespace moiety::config {
namespace {

std::string text(int64_t n) { return std::to_string(n); }

/// Layer n, counted from 1, is an MoE layer where n is a multiple of the interval.
std::vector<int64_t> layers_by_interval(int64_t layers, int64_t interval) {
  std::vector<int64_t> out;
  for (int64_t n = interval; n <= layers; n += interval) out.push_back(n - 1);
  return out;
}

/// The list as it is to be used, or empty after an error.
std::vector<int64_t> given_layers(Draft& d) {
  std::vector<int64_t> layers = d.config.moe.layers;
  const Mark mark = d.where({"moe.layers"});
  if (d.is_given("moe.expert_interval")) {
    d.report.add(mark, "moe.layers", "set beside moe.expert_interval; expected one of the two");
    return {};
  }
  std::sort(layers.begin(), layers.end());
  const auto twice = std::adjacent_find(layers.begin(), layers.end());
  if (twice != layers.end()) {
    d.report.add(mark, "moe.layers", "layer " + text(*twice) + " appears twice");
    return {};
  }
  if (!layers.empty() && layers.back() >= d.config.model.layers) {
    d.report.add(mark, "moe.layers",
                 "there is no layer " + text(layers.back()) + ": model.layers is " +
                     text(d.config.model.layers) + ", so they are 0 to " +
                     text(d.config.model.layers - 1));
    return {};
  }
  return layers;
}

/// "24 layers / expert_interval 2 = 12 MoE layers", or "moe.layers lists 3 layers".
std::string arithmetic(const Draft& d, size_t count) {
  if (!d.config.moe.layers.empty()) return "moe.layers lists " + std::to_string(count) + " layers";
  return "model.layers " + text(d.config.model.layers) + " / moe.expert_interval " +
         text(d.inputs.expert_interval) + " = " + std::to_string(count) + " MoE layers";
}

std::vector<std::string> divisors(int64_t n) {
  std::vector<std::string> out;
  for (int64_t i = 1; i <= n; ++i) {
    if (n % i == 0) out.push_back(text(i));
  }
  return out;
}

void check_expert_parallelism(Draft& d) {
  if (!d.ok({"moe.expert_parallel_size"})) return;
  const int64_t ep = d.config.moe.expert_parallel_size, ranks = d.config.world_size;
  const Mark mark = d.where({"moe.expert_parallel_size"});
  if (ep > ranks) {
    d.report.add(mark, "moe.expert_parallel_size",
                 text(ep) + " ranks are needed, this run has " + text(ranks) + " (" + text(ep) +
                     " > " + text(ranks) +
                     "); to keep all experts on every rank type moe.expert_parallel_size=1");
    return;
  }
  if (ranks % ep != 0) {
    d.report.add(mark, "moe.expert_parallel_size",
                 "the ranks cannot be divided evenly: " + text(ranks) + " % " + text(ep) + " = " +
                     text(ranks % ep) + "; possible: " + join(divisors(ranks), " "));
    return;
  }
  if (!d.ok({"moe.num_experts"})) return;
  for (const int64_t experts : d.config.moe.num_experts) {
    if (experts % ep == 0) continue;
    d.report.add(mark, "moe.expert_parallel_size",
                 "the experts cannot be divided evenly: num_experts " + text(experts) + " % " +
                     text(ep) + " = " + text(experts % ep) +
                     "; possible: " + join(divisors(experts), " "));
    return;
  }
}

/// A falling pyramid trains, but is the opposite of the published one.
void warn_of_descent(Draft& d) {
  const std::vector<int64_t>& counts = d.config.moe.num_experts;
  for (size_t i = 1; i < counts.size(); ++i) {
    if (counts[i] >= counts[i - 1]) continue;
    d.config.warnings.push_back(
        d.where({"moe.num_experts"}).text() + ": moe.num_experts falls from " +
        text(counts[i - 1]) + " in layer " + text(d.config.moe.layers[i - 1]) + " to " +
        text(counts[i]) + " in layer " + text(d.config.moe.layers[i]) +
        ": entry i is the i-th MoE layer from the input, and later layers gain more from experts "
        "(Rajbhandari et al., 2022, section 4.1), so published pyramids rise, as in [32, 32, 64]");
    return;
  }
}

}  // namespace

void resolve_moe_layers(Draft& d) {
  MoeConfig& moe = d.config.moe;
  if (!moe.enabled) return;
  if (moe.num_experts.empty()) {
    if (d.ok({"moe.num_experts"})) {
      d.report.add(d.where({"moe"}), "moe.num_experts",
                   "missing: MoE layers are enabled; expected an integer or a list of integers of "
                   "at least 1");
    }
    return;
  }
  if (!d.ok({"moe.layers", "moe.expert_interval", "moe.num_experts", "model.layers"})) return;
  std::vector<int64_t> layers =
      d.is_given("moe.layers")
          ? given_layers(d)
          : layers_by_interval(d.config.model.layers, d.inputs.expert_interval);
  if (!d.ok({"moe.layers"})) return;
  std::vector<int64_t>& counts = moe.num_experts;
  const Mark mark = d.where({"moe.num_experts"});
  const bool pyramid = counts.size() > 1;
  if (layers.empty()) {
    d.report.add(d.where({"moe.expert_interval", "moe.num_experts"}), "moe.num_experts",
                 "no layer is an MoE layer: " + arithmetic(d, 0));
    return;
  }
  if (!pyramid) counts.assign(layers.size(), counts[0]);
  if (counts.size() != layers.size()) {
    d.report.add(mark, "moe.num_experts",
                 "the list has " + std::to_string(counts.size()) + " counts, but " +
                     arithmetic(d, layers.size()) + "; expected one number or " +
                     std::to_string(layers.size()) + " of them");
    return;
  }
  // A count of 1 in a pyramid makes the layer dense, unless the layer is listed by number.
  moe.layers.clear();
  std::vector<int64_t> kept;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (pyramid && counts[i] == 1 && !d.is_given("moe.layers")) continue;
    moe.layers.push_back(layers[i]);
    kept.push_back(counts[i] * d.inputs.granularity);
  }
  counts = std::move(kept);
  if (counts.empty()) {
    d.report.add(mark, "moe.num_experts", "every count is 1, so no layer is an MoE layer");
  }
  if (d.inputs.granularity > 1) {
    d.sources["moe.num_experts"] = mark.text() + " (times moe.granularity)";
  }
  check_expert_parallelism(d);
  warn_of_descent(d);
}

}  // namespace moiety::config
