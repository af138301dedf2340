#include "core/config/explain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <moiety/error.h>

#include "core/base/strings.h"
#include "core/config/component.h"
#include "core/config/import/related.h"
#include "core/config/keys.h"
#include "core/config/read_keys.h"
#include "core/config/scalar.h"
#include "core/config/scheduler.h"
#include "core/plugin/registry.h"
#include "core/plugin/report.h"

namespace moiety {
namespace config {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

std::string block(const std::string& title, const Rows& rows) {
  std::string out = title + "\n";
  for (const auto& [name, text] : rows) {
    if (text.empty()) continue;
    out.append("  ").append(name).append(name.size() < 12 ? 12 - name.size() : 1, ' ');
    out.append(text).append("\n");
  }
  return out;
}

std::string provenance_of(const std::string& path, const RunConfig* config) {
  if (config == nullptr) return "";
  for (const Provenance& p : config->provenance) {
    if (p.path == path) return p.value + " (" + p.source + ")";
  }
  return "not in use";
}

std::string default_of(const OptionSpec& spec) {
  return spec.required ? "none: it has to be given" : value_text(spec.fallback);
}

/// A component that `path` names, and its options.
struct Choice {
  std::string type, summary;
  const std::vector<OptionSpec>* schema = nullptr;
};

std::vector<Choice> choices_of(const Key& key, PluginRegistry& plugins) {
  std::vector<Choice> out;
  if (key.role == KeyRole::kScheduler) {
    for (const SchedulerType& type : scheduler_types()) {
      out.push_back({type.name, type.summary, &type.schema});
    }
    return out;
  }
  std::vector<std::string> names = plugins.names(key.kind);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const ComponentInfo* info = plugins.try_find(key.kind, name);
    if (info != nullptr) out.push_back({name, info->summary, &info->schema});
  }
  return out;
}

std::string explain_component(const Key& key, PluginRegistry& plugins, const RunConfig* config) {
  const std::string type = std::get<std::string>(key.option.fallback);
  std::string out = block(key.path(), {{"meaning", key.option.doc},
                                       {"value", "{type: NAME, params: {...}}"},
                                       {"default", type.empty() ? key.default_text : type},
                                       {"related", related_names(key.path())},
                                       {"here", provenance_of(key.path() + ".type", config)}});
  for (const Choice& choice : choices_of(key, plugins)) {
    out += "\n" + key.path() + ".type: " + choice.type + "\n  " + choice.summary + "\n";
    for (const OptionSpec& spec : *choice.schema) {
      out += "  " + key.path() + ".params." + spec.name + " = " + default_of(spec) + "\n";
    }
  }
  return out;
}

/// An option, in every component that has it.
std::string explain_option(const Key& key, const std::string& path, PluginRegistry& plugins,
                           const RunConfig* config) {
  const std::string name = path.substr(path.rfind('.') + 1);
  std::string out;
  std::vector<std::string> names;
  for (const Choice& choice : choices_of(key, plugins)) {
    for (const OptionSpec& spec : *choice.schema) {
      names.push_back(spec.name);
      if (spec.name != name) continue;
      out += block(path + ", of " + key.path() + " " + choice.type,
                   {{"meaning", spec.doc},
                    {"value", expected(spec)},
                    {"default", default_of(spec)},
                    {"related", related_names(path)}});
    }
  }
  if (out.empty()) {
    throw ConfigError("config explain: no " + key.path() + " has an option '" + name + "'" +
                      did_you_mean(name, names));
  }
  if (config != nullptr) out += block("in this file", {{"value", provenance_of(path, config)}});
  return out;
}

std::string explain_plain(const Key& key, const RunConfig* config) {
  if (key.role == KeyRole::kAccepted) {
    return block(key.path(), {{"meaning", "DeepSpeed's; changes nothing here: " + key.reason}});
  }
  if (key.role == KeyRole::kLater) {
    std::vector<std::string> off = key.off;
    off.insert(off.end(), {"false", "null"});
    return block(key.path(), {{"meaning", "DeepSpeed's; refused: " + later_text(key)},
                              {"accepted", join(off, ", ")}});
  }
  std::string title = key.path();
  for (const std::string& alias : key.aliases) title += ", or " + child_path(key.section(), alias);
  const bool gate = key.role == KeyRole::kGateOption;
  const std::string found = gate ? "moe.gate.params." + key.gate_option : key.path();
  std::string here = provenance_of(found, config);
  if (config != nullptr && key.role == KeyRole::kInput) here = "resolved into other keys";
  std::string fallback = key.default_text;
  if (fallback.empty()) fallback = value_text(key.option.fallback);
  return block(title, {{"meaning", key.option.doc},
                       {"value", expected(key.option, key.rules)},
                       {"default", fallback},
                       {"fills", gate ? "moe.gate.params." + key.gate_option : ""},
                       {"related", related_names(key.path())},
                       {"here", here}});
}

std::string explain_section(const std::string& section) {
  std::vector<std::vector<std::string>> rows = {{"KEY", "MEANING"}};
  for (const Key& key : Keys::all().list()) {
    if (key.role == KeyRole::kAccepted || key.role == KeyRole::kLater) continue;
    if (key.path().starts_with(section + ".")) rows.push_back({key.path(), key.option.doc});
  }
  return rows.size() > 1 ? column_table(rows) : "";
}

[[noreturn]] void no_such_key(const std::string& path) {
  std::vector<std::string> paths;
  for (const Key& key : Keys::all().list()) paths.push_back(key.path());
  std::string near = did_you_mean(path, paths);
  const std::string leaf = path.substr(path.rfind('.') + 1);
  for (const std::string& known : paths) {
    if (near.empty() && known.ends_with("." + leaf)) near = "; did you mean '" + known + "'?";
  }
  throw ConfigError("config explain: there is no key '" + path + "'" + near);
}

}  // namespace
}  // namespace config

std::string explain_key(const std::string& path, PluginRegistry& plugins, const RunConfig* run) {
  using namespace config;
  const Keys& keys = Keys::all();
  const size_t dot = path.rfind('.');
  const Key* key = dot == std::string::npos ? keys.find(path)
                                            : keys.find(path.substr(0, dot), path.substr(dot + 1));
  if (key != nullptr) {
    const bool component = key->role == KeyRole::kComponent || key->role == KeyRole::kScheduler;
    return component ? explain_component(*key, plugins, run) : explain_plain(*key, run);
  }
  for (const Key& owner : keys.list()) {
    const bool component = owner.role == KeyRole::kComponent || owner.role == KeyRole::kScheduler;
    if (component && path.starts_with(owner.path() + ".params.")) {
      return explain_option(owner, path, plugins, run);
    }
    if (component && path == owner.path() + ".type") {
      return explain_component(owner, plugins, run);
    }
  }
  std::string section = explain_section(path);
  if (section.empty()) no_such_key(path);
  return section;
}

std::string config_diff(const RunConfig& a, const RunConfig& b) {
  const auto value = [](const RunConfig& c, const std::string& path) -> const std::string* {
    for (const Provenance& p : c.provenance) {
      if (p.path == path) return &p.value;
    }
    return nullptr;
  };
  std::vector<std::vector<std::string>> rows = {{"KEY", a.file.string(), b.file.string()}};
  for (const Provenance& p : a.provenance) {
    const std::string* other = value(b, p.path);
    if (other == nullptr || *other != p.value) {
      rows.push_back({p.path, p.value, other == nullptr ? "-" : *other});
    }
  }
  for (const Provenance& p : b.provenance) {
    if (value(a, p.path) == nullptr) rows.push_back({p.path, "-", p.value});
  }
  return rows.size() > 1 ? column_table(rows) : "";
}

}  // namespace moiety
