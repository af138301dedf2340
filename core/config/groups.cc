#include "core/config/groups.h"

#include <vector>

#include "core/base/strings.h"
#include "core/config/interpolate.h"
#include "core/config/read_value.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

const std::string kPath = "optimizer.groups";
constexpr double kMaxScale = 1e6;

std::vector<OptionSpec> make_schema() {
  OptionSpec match, lr, decay;
  match.name = "match";
  match.doc =
      "glob pattern of parameter names, or a list of them; `moiety ckpt inspect` lists names";
  match.type = OptionType::kStrings;
  match.fallback = std::vector<std::string>{"*.experts.*"};
  match.required = true;
  lr.name = "lr_scale";
  lr.doc = "factor on the schedule's rate";
  decay.name = "decay_scale";
  decay.doc =
      "factor on the optimizer's weight_decay; by default 1, and 0 for biases, norms and other "
      "1-D tensors";
  for (OptionSpec* spec : {&lr, &decay}) {
    spec->type = OptionType::kFloat;
    spec->fallback = 1.0;
    spec->min = 0;
    spec->max = kMaxScale;
  }
  return {match, lr, decay};
}

/// One pattern stands for a list of it.
std::vector<std::string> read_patterns(const Node& node, const std::string& path, Draft& d) {
  std::vector<std::string> patterns;
  if (const auto one = to_string(node)) {
    patterns.push_back(*one);
  } else if (const auto read = read_value(node, group_schema()[0], {}, path, d.report)) {
    patterns = std::get<std::vector<std::string>>(*read);
  } else {
    return {};
  }
  if (patterns.empty()) d.report.add(node.mark, path, "expected a pattern, got an empty list");
  return patterns;
}

ParamGroup read_group(const Node& node, const std::string& path, Draft& d) {
  ParamGroup group;
  group.where = node.mark.text() + ": " + path;
  std::vector<std::string> names;
  for (const OptionSpec& spec : group_schema()) names.push_back(spec.name);
  for (const Node::Entry& entry : node.entries) {
    const std::string inside = child_path(path, entry.key);
    if (entry.key == "match") {
      group.where = entry.value.mark.text() + ": " + inside;
      group.match = read_patterns(entry.value, inside, d);
    } else if (entry.key == "lr_scale" || entry.key == "decay_scale") {
      const OptionSpec& spec = group_schema()[entry.key == "lr_scale" ? 1 : 2];
      const auto value = read_value(entry.value, spec, {}, inside, d.report);
      if (!value) continue;
      if (entry.key == "lr_scale") group.lr_scale = std::get<double>(*value);
      if (entry.key == "decay_scale") group.decay_scale = std::get<double>(*value);
    } else if (!is_note(entry.key)) {
      const std::string problem = "unknown key" + did_you_mean(entry.key, names);
      d.report.add(entry.mark, inside,
                   problem + (problem.ends_with('?') ? " " : "; ") +
                       "expected one of: " + join(names, ", "));
    }
  }
  if (node.find("match") == nullptr) {
    d.report.add(node.mark, child_path(path, "match"),
                 "missing: which parameters the group is for; expected a pattern such as "
                 "'*.experts.*', or a list");
  }
  return group;
}

}  // namespace

const std::vector<OptionSpec>& group_schema() {
  static const std::vector<OptionSpec> schema = make_schema();
  return schema;
}

void read_groups(const Node& node, Draft& d) {
  if (node.is_null()) return;
  d.given.emplace(kPath, node.mark);
  if (!node.is_list()) {
    d.report.add(node.mark, kPath,
                 "expected a list of {match, lr_scale, decay_scale}, got " + shown(node));
    return;
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const std::string path = kPath + "[" + std::to_string(i) + "]";
    if (item.is_map()) {
      d.config.param_groups.push_back(read_group(item, path, d));
    } else {
      d.report.add(item.mark, path, "expected {match, lr_scale, decay_scale}, got " + shown(item));
    }
  }
}

std::string groups_text(const RunConfig& config) {
  std::vector<std::string> groups;
  for (const ParamGroup& group : config.param_groups) {
    std::vector<std::string> match = group.match;
    for (std::string& pattern : match) pattern = escape_references(pattern);
    std::string text = "{match: " + value_text(match);
    text += ", lr_scale: " + float_text(group.lr_scale);
    if (group.decay_scale) text += ", decay_scale: " + float_text(*group.decay_scale);
    groups.push_back(text + "}");
  }
  return "[" + join(groups, ", ") + "]";
}

}  // namespace moiety::config
