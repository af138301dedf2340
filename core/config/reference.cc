// docs/config.md, from the declarations of keys.h and the schemas of the plugins.
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/strings.h"
#include "core/config/component.h"
#include "core/config/keys.h"
#include "core/config/load.h"
#include "core/config/read_keys.h"
#include "core/config/scalar.h"
#include "core/config/scheduler.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace config {
namespace {

constexpr const char* kIntroduction =
    R"(<!-- Written by `moiety config reference`; do not edit. -->
# Configuration

A run is described by one YAML 1.2 file (JSON is valid YAML). `moiety config check FILE` reports
every error at once as `file:line:column: path: problem`, exits with 2 and computes nothing;
`moiety config print FILE --provenance` shows every value and where it came from;
`moiety config schema` writes a JSON Schema for editors.

- Unknown keys, wrong types, values out of range and duplicate keys are errors. Keys that start with
  `x-` are free notes.
- `true` and `false` are the only booleans; `yes`, `no`, `on` and `off` are strings. `3e-4` is a
  number. Tags, merge keys and octal numbers are refused.
- `base: other.yaml`, or a list, names files to start from, relative to the file that says so. Later
  ones win: maps merge, lists replace. A component whose `type` changes loses its old `params`.
- Overrides on the command line: `moe.num_experts=16`, `model.freeze[0]=head.*`, `~scheduler`. The
  value is YAML. Only keys of this page can be set.
- `${env:VAR}`, `${env:VAR:-default}` and `${path.to.key}` are replaced once; `$${` is a plain `${`.
- A component is `{type: NAME, params: {...}}`; its options come from its plugin.

DeepSpeed's names have DeepSpeed's meaning and defaults, so that a `ds_config.json` works as a
`base`. Its keys that this version does not act on are listed at the end: none is ignored.

)";

/// A row of a Markdown table.
std::string row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) {
    out += ' ';
    for (const char c : cell) {
      if (c == '|') out += '\\';
      out += c;
    }
    out.append(" |");
  }
  out += '\n';
  return out;
}

std::string table_head() {
  return "| key | value | default | meaning |\n| --- | --- | --- | --- |\n";
}

std::string code(const std::string& text) { return "`" + text + "`"; }

std::string default_of(const Key& key) {
  if (!key.default_text.empty()) return key.default_text;
  if (key.nullable && value_text(key.option.fallback) == "0") return "0";
  return code(value_text(key.option.fallback));
}

std::string option_rows(const std::vector<OptionSpec>& schema) {
  std::string out = table_head();
  for (const OptionSpec& spec : schema) {
    const std::string fallback = spec.required ? "required" : code(value_text(spec.fallback));
    out += row({code(spec.name), expected(spec), fallback, spec.doc});
  }
  return out;
}

std::string component_text(const Key& key, PluginRegistry& plugins) {
  std::vector<std::string> names = plugins.names(key.kind);
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& name : names) {
    const ComponentInfo* info = plugins.try_find(key.kind, name);
    if (info == nullptr) continue;
    out += "### " + key.path() + ": " + name + "\n\n" + info->summary + "\n\n";
    if (!info->schema.empty()) out += option_rows(info->schema) + "\n";
  }
  return out;
}

std::string scheduler_text() {
  std::string out;
  for (const SchedulerType& type : scheduler_types()) {
    out += "### scheduler: " + type.name + "\n\n" + type.summary + "\n\n";
    if (!type.schema.empty()) out += option_rows(type.schema) + "\n";
  }
  return out;
}

std::string key_row(const Key& key) {
  std::string name = code(key.path());
  for (const std::string& alias : key.aliases) name += " (or " + code(alias) + ")";
  if (key.role == KeyRole::kComponent || key.role == KeyRole::kScheduler) {
    std::string type = std::get<std::string>(key.option.fallback);
    type = type.empty() ? (key.path() == "moe.gate" ? "by `moe.k`" : "required") : code(type);
    return row({name, "{type, params}", type, key.option.doc});
  }
  std::string doc = key.option.doc;
  if (key.role == KeyRole::kGateOption) doc += "; fills the gate's option " + code(key.gate_option);
  return row({name, expected(key.option, key.rules), default_of(key), doc});
}

/// Keys of one section and of those inside it, or the plain keys of the top.
std::string section_text(const std::string& section) {
  std::string rows;
  for (const Key& key : Keys::all().list()) {
    if (key.role == KeyRole::kAccepted || key.role == KeyRole::kLater) continue;
    const bool inside = !section.empty() && key.section().starts_with(section + ".");
    if (key.section() == section || inside) rows += key_row(key);
  }
  if (rows.empty()) return "";
  return "## " + (section.empty() ? "Top level" : section) + "\n\n" + table_head() + rows + "\n";
}

std::string unused_text() {
  std::string accepted, refused;
  for (const Key& key : Keys::all().list()) {
    if (key.role == KeyRole::kAccepted) accepted += row({code(key.path()), key.reason});
    if (key.role != KeyRole::kLater) continue;
    std::vector<std::string> off = key.off;
    off.insert(off.end(), {"false", "null"});
    refused += row({code(key.path()), later_text(key), join(off, ", ")});
  }
  return "## DeepSpeed's keys that change nothing here\n\n| key | why |\n| --- | --- |\n" +
         accepted +
         "\n## DeepSpeed's keys that are refused\n\nA section counts as switched off with "
         "`enabled: false` or `device: none`.\n\n| key | why | accepted |\n| --- | --- | --- |\n" +
         refused;
}

}  // namespace
}  // namespace config

std::string config_reference(PluginRegistry& plugins) {
  using config::Key;
  using config::KeyRole;
  using config::Keys;
  std::string out = config::kIntroduction + config::section_text("");
  for (const std::string& name : Keys::all().children("")) {
    if (Keys::all().find(name) == nullptr) out += config::section_text(name);
  }
  out += "## Components\n\n";
  for (const Key& key : Keys::all().list()) {
    if (key.role == KeyRole::kComponent) out += config::component_text(key, plugins);
    if (key.role == KeyRole::kScheduler) out += config::scheduler_text();
  }
  return out + config::unused_text();
}

}  // namespace moiety
