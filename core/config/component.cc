#include "core/config/component.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <moiety/error.h>

#include "core/base/strings.h"
#include "core/config/groups.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// Options of DeepSpeed's Adam that choose between implementations of the same arithmetic.
struct HarmlessOption {
  const char* name;
  const char* accepted;  // "" = both values
};
constexpr HarmlessOption kHarmlessOptions[] = {
    {"torch_adam", ""}, {"amsgrad", "false"}, {"bias_correction", "true"}};

/// True when the entry has been dealt with.
bool read_harmless_option(const Node::Entry& entry, const Node& params, const std::string& path,
                          Draft& draft) {
  for (const HarmlessOption& option : kHarmlessOptions) {
    if (entry.key != option.name) continue;
    const auto flag = to_bool(entry.value);
    if (!flag) {
      draft.report.add(entry.value.mark, path, "expected true or false, got " + shown(entry.value));
    } else if (*option.accepted != '\0' && *flag != (std::string(option.accepted) == "true")) {
      draft.report.add(entry.value.mark, path,
                       std::string("needs another optimizer than this version has; expected ") +
                           option.accepted);
    } else if (entry.key == "torch_adam" && *flag && params.find("weight_decay") == nullptr) {
      draft.report.add(entry.value.mark, path,
                       "with it DeepSpeed's weight_decay is torch's 0.01 and not 0; say which one "
                       "is meant by giving weight_decay");
    } else {
      draft.notes.push_back(path + ": changes nothing here: there is one implementation");
    }
    return true;
  }
  return false;
}

std::vector<std::string> option_names(const std::vector<OptionSpec>& schema) {
  std::vector<std::string> names;
  names.reserve(schema.size());
  for (const OptionSpec& spec : schema) names.push_back(spec.name);
  return names;
}

void report_unknown_option(const Node::Entry& entry, const std::string& path,
                           const std::string& owner, const std::vector<OptionSpec>& schema,
                           Draft& draft) {
  const std::vector<std::string> names = option_names(schema);
  std::string problem =
      owner + " has no option '" + entry.key + "'" + did_you_mean(entry.key, names);
  if (entry.key == "max_grad_norm") problem += "; did you mean 'gradient_clipping'?";
  problem += problem.ends_with('?') ? " " : "; ";
  problem += names.empty() ? "it has none" : "it has: " + join(names, ", ");
  draft.report.add(entry.mark, path, problem);
}

}  // namespace

std::string kind_text(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::kGating: return "gating policy";
    case ComponentKind::kExpert: return "expert type";
    case ComponentKind::kOptimizer: return "optimizer";
    case ComponentKind::kData: return "data source";
    case ComponentKind::kObjective: return "objective";
  }
  return "component";
}

TypeAndParams read_type_and_params(const Node* node, const std::string& path, Draft& draft) {
  TypeAndParams out;
  out.good = true;
  if (node == nullptr) return out;
  out.type_mark = node->mark;
  if (!node->is_map()) {
    draft.report.add(node->mark, path, "expected {type: ..., params: {...}}, got " + shown(*node));
    out.good = false;
    return out;
  }
  for (const Node::Entry& entry : node->entries) {
    const std::string inside = child_path(path, entry.key);
    if (entry.key == "type") {
      out.type_mark = entry.value.mark;
      draft.given.emplace(inside, entry.value.mark);
      if (const auto text = to_string(entry.value)) out.type = *text;
      if (!out.type.empty() || !draft.report.ok(inside)) continue;
      draft.report.add(entry.value.mark, inside, "expected a name, got " + shown(entry.value));
      out.good = false;
    } else if (entry.key == "params") {
      draft.given.emplace(inside, entry.value.mark);
      if (entry.value.is_map()) out.params = &entry.value;
      if (entry.value.is_map() || entry.value.is_null() || !draft.report.ok(inside)) continue;
      draft.report.add(entry.value.mark, inside, "expected a map, got " + shown(entry.value));
    } else if (entry.key == "groups" && path == "optimizer") {
      read_groups(entry.value, draft);
    } else if (entry.key == "legacy_fusion" && path == "optimizer") {
      const auto flag = to_bool(entry.value);
      if (flag && !*flag) continue;
      draft.report.add(entry.value.mark, inside,
                       "needs DeepSpeed's legacy fused optimizers, which this version does not "
                       "have");
    } else if (!is_note(entry.key)) {
      std::vector<std::string> names = {"type", "params"};
      if (path == "optimizer") names.emplace_back("groups");
      std::string problem = "unknown key" + did_you_mean(entry.key, names);
      draft.report.add(entry.mark, inside,
                       problem + (problem.ends_with('?') ? " " : "; ") + "expected " +
                           (path == "optimizer" ? "type, groups" : "type") +
                           " and params (a component's options go there)");
    }
  }
  return out;
}

OptionMap read_options(const std::vector<OptionSpec>& schema, const Node* params,
                       const std::string& path, const std::string& owner,
                       const std::vector<OptionSource>& elsewhere, Draft& draft) {
  OptionMap options;
  for (const OptionSpec& spec : schema) {
    std::string value_path = child_path(path, spec.name);
    const Node* node = nullptr;
    if (const Node::Entry* entry = params == nullptr ? nullptr : params->find(spec.name)) {
      node = &entry->value;
    }
    for (const OptionSource& source : elsewhere) {
      if (source.option != spec.name) continue;
      if (node != nullptr) {
        draft.report.add(
            source.node->mark, source.path,
            "set twice: it fills " + value_path + ", which stands at " + node->mark.text());
      } else {
        draft.sources[value_path] = source.node->mark.text() + " (" + source.path + ")";
      }
      node = source.node;
      value_path = source.path;
    }
    Value value = spec.fallback;
    if (node != nullptr && draft.report.ok(value_path)) {
      draft.given.emplace(child_path(path, spec.name), node->mark);
      if (auto read = read_value(*node, spec, {}, value_path, draft.report)) value = *read;
    } else if (node == nullptr && spec.required) {
      draft.report.add(
          params == nullptr ? draft.where({path.substr(0, path.rfind('.'))}) : params->mark,
          value_path, "missing: " + spec.doc + "; expected " + expected(spec));
    }
    options.emplace_back(spec.name, std::move(value));
  }
  if (params == nullptr) return options;
  for (const Node::Entry& entry : params->entries) {
    const bool known = std::any_of(schema.begin(), schema.end(),
                                   [&](const OptionSpec& spec) { return spec.name == entry.key; });
    const std::string inside = child_path(path, entry.key);
    if (known || is_note(entry.key)) continue;
    if (path == "optimizer.params" && read_harmless_option(entry, *params, inside, draft)) continue;
    report_unknown_option(entry, inside, owner, schema, draft);
  }
  return options;
}

const ComponentInfo* find_component(ComponentKind kind, const std::string& type, const Mark& mark,
                                    const std::string& path, PluginRegistry& plugins,
                                    Draft& draft) {
  try {
    for (const std::string& name : {type, lower(type)}) {
      if (const ComponentInfo* info = plugins.try_find(kind, name)) return info;
    }
  } catch (const PluginError& e) {
    throw PluginError(mark.text() + ": " + path + ": " + e.what());
  }
  std::vector<std::string> names = plugins.names(kind);
  std::sort(names.begin(), names.end());
  std::vector<std::string> folders;
  for (const std::filesystem::path& folder : plugins.folders()) folders.push_back(folder.string());
  std::string problem =
      "no " + kind_text(kind) + " '" + type + "'" + did_you_mean(lower(type), names);
  problem += problem.ends_with('?') ? " " : "; ";
  problem += "installed: " + (names.empty() ? "none" : join(names, ", "));
  problem += "; looked for moiety_" + std::string(kind_name(kind)) + "_" + lower(type) +
             ".so in: " + (folders.empty() ? "no folder" : join(folders, ", "));
  draft.report.add(mark, path, problem);
  return nullptr;
}

void read_component(const Key& key, PluginRegistry& plugins, Draft& draft) {
  const auto it = draft.components.find(key.path());
  const Node* node = it == draft.components.end() ? nullptr : it->second;
  TypeAndParams given = read_type_and_params(node, key.path(), draft);
  if (!given.good) return;
  if (given.type.empty()) {
    given.type = std::get<std::string>(key.option.fallback);
    if (node == nullptr) given.type_mark = draft.top;
  }
  if (given.type.empty()) {
    std::vector<std::string> names = plugins.names(key.kind);
    std::sort(names.begin(), names.end());
    draft.report.add(given.type_mark, child_path(key.path(), "type"),
                     "missing: " + key.option.doc + "; installed: " + join(names, ", "));
    return;
  }
  const ComponentInfo* info = find_component(key.kind, given.type, given.type_mark,
                                             child_path(key.path(), "type"), plugins, draft);
  if (info == nullptr) return;
  ComponentChoice& choice = key.choice(draft.config);
  choice.type = info->name;
  choice.options = read_options(info->schema, given.params, child_path(key.path(), "params"),
                                kind_text(key.kind) + " '" + info->name + "'", {}, draft);
}

}  // namespace moiety::config
