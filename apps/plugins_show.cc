// moiety plugins list and show.
#include <fmt/format.h>

#include <cstdio>
#include <set>

#include <moiety/error.h>

#include "apps/commands.h"
#include "apps/plugins.h"
#include "core/plugin/report.h"
#include "core/plugin/search.h"
#include "core/plugin/stamp.h"

namespace moiety::apps {
namespace {

/// Without the advice of the last line, and the rest as one line.
std::string one_line(std::string text) {
  text = text.substr(0, text.find("\nRebuild"));
  for (size_t at = text.find("\n  "); at != std::string::npos; at = text.find("\n  ", at)) {
    text.replace(at, 3, " ");
  }
  return text;
}

/// The row of a plugin file, or of the reason why it cannot be used.
std::vector<std::string> list_row(const PluginFile& file, bool hidden) {
  std::string version = "-", cuda = "-", note = file.path.string();
  try {
    const Stamp stamp = read_stamp(file.path);
    version = stamp.get("version");
    cuda = stamp.get("sm");
    check_stamp(file.path, stamp, host_stamp());
  } catch (const PluginError& e) {
    note = "UNUSABLE " + one_line(e.what());
  }
  if (hidden) note += " (not used: another of its name comes first)";
  return {kind_name(file.kind), file.name, version, cuda, note};
}

}  // namespace

int list_plugins(const PluginRegistry& registry, const std::string& kind) {
  if (!kind.empty()) require_kind(kind);
  std::vector<std::vector<std::string>> rows = {{"KIND", "NAME", "VERSION", "GPU", "FILE"}};
  std::set<std::pair<ComponentKind, std::string>> seen;
  for (const PluginFile& file : plugin_files(registry.folders())) {
    if (!kind.empty() && kind != kind_name(file.kind)) continue;
    const bool hidden = !seen.emplace(file.kind, file.name).second;
    rows.push_back(list_row(file, hidden));
  }
  if (rows.size() > 1) {
    std::fputs(column_table(rows).c_str(), stdout);
    return kOk;
  }
  std::puts("no plugins found in:");
  for (const auto& folder : registry.folders()) std::printf("  %s\n", folder.c_str());
  return kOk;
}

int show_plugin(PluginRegistry& registry, const std::string& kind, const std::string& name,
                bool markdown) {
  const ComponentInfo& info = registry.find(require_kind(kind), name);
  const auto options = option_rows(info.schema);
  std::string text;
  if (markdown) {
    text = fmt::format("### {} `{}`\n\n{}.\n\n", kind, name, info.summary);
    text += info.schema.empty() ? "No options.\n" : markdown_table(options);
  } else {
    text = fmt::format("{} {} {}: {}\n\n", kind, name, info.stamp.get("version"), info.summary);
    text += info.schema.empty() ? "no options\n" : column_table(options);
    text += fmt::format("\ntraits  {}\nfile    {}\nstamp   {}\n", traits_text(info.traits),
                        info.file.string(), info.stamp.text);
  }
  std::fputs(text.c_str(), stdout);
  return kOk;
}

}  // namespace moiety::apps
