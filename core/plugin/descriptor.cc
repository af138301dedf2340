// Checks of what a library registers.
#include "core/plugin/descriptor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/base/strings.h"
#include "core/plugin/kinds.h"
#include "core/plugin/option_check.h"

namespace moiety {
namespace {

/// What an older plugin does not know keeps the core's default; what a newer one knows in addition
/// is cut off.
ComponentDescriptor copy_known(const ComponentDescriptor& theirs,
                               const std::filesystem::path& file) {
  ComponentDescriptor ours;
  if (theirs.struct_size < offsetof(ComponentDescriptor, traits)) {
    throw PluginError(
        fmt::format("plugin {} registers a descriptor of {} bytes, at least {} expected",
                    file.string(), theirs.struct_size, offsetof(ComponentDescriptor, traits)));
  }
  std::memcpy(static_cast<void*>(&ours), &theirs,
              std::min<size_t>(theirs.struct_size, sizeof ours));
  return ours;
}

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

void check_identity(const ComponentDescriptor& d, const std::filesystem::path& file) {
  if (!kind_from_name(kind_name(d.kind))) {
    throw PluginError(
        fmt::format("plugin {} registers '{}' of kind number {}, unknown to this core",
                    file.string(), text_of(d.name), static_cast<uint32_t>(d.kind)));
  }
  const std::string who =
      fmt::format("{} '{}' in {}", kind_name(d.kind), text_of(d.name), file.string());
  if (d.interface_version != interface_version(d.kind)) {
    throw PluginError(fmt::format(
        "{} speaks interface {} of kind {}, this core speaks {}. Rebuild it against this "
        "installation: cmake -DMoiety_DIR=... && cmake --build .",
        who, d.interface_version, kind_name(d.kind), interface_version(d.kind)));
  }
  if (!is_component_name(text_of(d.name))) {
    throw PluginError(who + " has a name that is not like_this");
  }
  if (d.schema == nullptr || d.create == nullptr || d.destroy == nullptr) {
    throw PluginError(who + " lacks a function. Register it with plugin.add<T>().");
  }
}

}  // namespace

LoadedComponent adopt(const ComponentDescriptor& descriptor, const std::filesystem::path& file,
                      const Stamp& stamp) {
  LoadedComponent component;
  component.factory = copy_known(descriptor, file);
  const ComponentDescriptor& d = component.factory;
  check_identity(d, file);
  ComponentInfo& info = component.info;
  info.kind = d.kind;
  info.name = d.name;
  info.summary = text_of(d.summary);
  info.traits = d.traits;
  info.file = file;
  info.stamp = stamp;
  const std::string who = fmt::format("{} '{}' in {}", kind_name(d.kind), d.name, file.string());
  try {
    d.schema(&info.schema);
  } catch (const std::exception& e) {
    throw PluginError(fmt::format("{} cannot describe its options: {}", who, e.what()));
  }
  const std::vector<std::string> problems = schema_problems(info.schema);
  if (problems.empty()) return component;
  throw PluginError(fmt::format("{} is refused:\n  {}", who, join(problems, "\n  ")));
}

}  // namespace moiety
