// The gate and the expert type. DeepSpeed's MoE layer takes the gate's options itself (k,
// capacity_factor, ...); here they fill the options of whichever gate is chosen.
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/strings.h"
#include "core/config/component.h"
#include "core/config/moe.h"

namespace moiety::config {
namespace {

/// DeepSpeed's choice: top1gating, top2gating, topkgating.
std::string gate_of(int64_t k) { return k == 1 ? "top1" : k == 2 ? "top2" : "topk"; }

bool has_option(const ComponentInfo& info, const std::string& name) {
  return std::any_of(info.schema.begin(), info.schema.end(),
                     [&](const OptionSpec& spec) { return spec.name == name; });
}

/// Experts per token once all experts are split.
int64_t choices(const Draft& d) { return d.inputs.k * d.inputs.granularity; }

/// The moe.* keys that the gate has an option for; the others are reported.
std::vector<OptionSource> matching_keys(const ComponentInfo& info, const Node& k_node, Draft& d) {
  std::vector<GateKey> keys = d.gate_keys;
  if (d.is_given("moe.k") || d.inputs.granularity > 1) keys.push_back({"moe.k", "k", &k_node});
  std::vector<OptionSource> out;
  for (const GateKey& key : keys) {
    if (has_option(info, key.option)) {
      out.push_back({key.option, key.path, key.node});
    } else if (key.path != "moe.k" || info.name != gate_of(choices(d))) {
      std::vector<std::string> names;
      for (const OptionSpec& spec : info.schema) names.push_back(spec.name);
      d.report.add(key.node->mark, key.path,
                   "gating policy '" + info.name + "' has no option '" + key.option +
                       "'; it has: " + (names.empty() ? "none" : join(names, ", ")));
    }
  }
  return out;
}

/// An option of the gate stands as it is; only moe.k is multiplied.
bool k_can_be_split(const TypeAndParams& given, Draft& d) {
  if (d.inputs.granularity == 1 || given.params == nullptr) return true;
  const Node::Entry* k = given.params->find("k");
  if (k == nullptr) return true;
  d.report.add(k->value.mark, "moe.gate.params.k",
               "moe.granularity " + std::to_string(d.inputs.granularity) +
                   " multiplies the experts per token too, and takes them from moe.k; expected "
                   "moe.k instead of this option");
  return false;
}

/// A gate that has the option allow_future_leak routes a token by the later ones too.
void check_future_leak(const ComponentChoice& gate, const Mark& mark, Draft& d) {
  const Value* allowed = find_option(gate.options, "allow_future_leak");
  const bool causal = d.config.model.type == "gpt";
  if (allowed == nullptr || std::get<bool>(*allowed) || !causal) return;
  d.report.add(mark, "moe.gate.type",
               "gating policy '" + gate.type +
                   "' routes a token by the later tokens of its sequence too, which a causal model "
                   "has in training and lacks when it generates: its losses would be too good to "
                   "be true; expected a gate whose tokens choose for themselves, or "
                   "moe.gate.params.allow_future_leak=true for an experiment");
}

void choose_gate(const Key& key, PluginRegistry& plugins, Draft& d) {
  const auto it = d.components.find("moe.gate");
  const Node* node = it == d.components.end() ? nullptr : it->second;
  TypeAndParams given = read_type_and_params(node, "moe.gate", d);
  if (!given.good || !d.ok({"moe.k"})) return;
  if (given.type.empty()) {
    given.type = gate_of(choices(d));
    given.type_mark = d.where({"moe.k", "moe.gate", "moe"});
    d.sources["moe.gate.type"] = "chosen by moe.k: " + std::to_string(choices(d));
  }
  const ComponentInfo* info = find_component(ComponentKind::kGating, given.type, given.type_mark,
                                             "moe.gate.type", plugins, d);
  if (info == nullptr || !k_can_be_split(given, d)) return;
  const Node k_node =
      Node::scalar(std::to_string(choices(d)), false, d.where({"moe.k", "moe.granularity"}));
  const std::vector<OptionSource> elsewhere = matching_keys(*info, k_node, d);
  ComponentChoice& gate = key.choice(d.config);
  gate.type = info->name;
  gate.options = read_options(info->schema, given.params, "moe.gate.params",
                              "gating policy '" + info->name + "'", elsewhere, d);
  if (d.config.moe.enabled) check_future_leak(gate, given.type_mark, d);
}

}  // namespace

void choose_moe_components(PluginRegistry& plugins, Draft& d) {
  const Keys& keys = Keys::all();
  const bool enabled = d.config.moe.enabled;
  // Of a model without MoE layers only what the file names is looked up.
  if (enabled || d.components.contains("moe.gate")) choose_gate(*keys.find("moe.gate"), plugins, d);
  if (enabled || d.components.contains("moe.expert")) {
    read_component(*keys.find("moe.expert"), plugins, d);
  }
}

}  // namespace moiety::config
