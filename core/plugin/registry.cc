// The registry: components by kind and name, their files and their factories.
#include "core/plugin/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/log.h"
#include "core/base/strings.h"
#include "core/plugin/gate.h"
#include "core/plugin/kinds.h"
#include "core/plugin/loader.h"
#include "core/plugin/search.h"

namespace moiety {

namespace fs = std::filesystem;

namespace {

struct Entry {
  std::shared_ptr<const LoadedLibrary> library;
  const LoadedComponent* component = nullptr;  // within library
  bool used = false;
};

/// Destroys a component by its plugin's own function and keeps the library until then. Also says
/// who the component is.
struct Destroy {
  std::shared_ptr<const LoadedLibrary> library;
  const LoadedComponent* component;
  void operator()(Component* c) const { component->factory.destroy(c); }
};

std::string identity(const ComponentInfo& info) {
  return fmt::format("{} '{}' {}", kind_name(info.kind), info.name, info.stamp.get("version"));
}

}  // namespace

struct PluginRegistry::Impl {
  std::vector<fs::path> folders;
  std::map<std::pair<ComponentKind, std::string>, Entry> entries;
  std::set<fs::path> files;

  void add(const fs::path& file) {
    const fs::path full = fs::absolute(file).lexically_normal();
    if (files.count(full) != 0) return;
    const auto library = load_library(file);
    files.insert(full);
    for (const LoadedComponent& component : library->components) {
      const auto key = std::pair(component.info.kind, component.info.name);
      const auto [it, fresh] = entries.try_emplace(key, Entry{library, &component});
      if (fresh) continue;
      log::warning(fmt::format("{} '{}' of {} is used, that of {} is not", kind_name(key.first),
                               key.second, it->second.library->file.string(), file.string()));
    }
  }

  std::string contents(const fs::path& file) const {
    std::vector<std::string> all;
    for (const auto& [key, entry] : entries) {
      if (entry.library->file != file) continue;
      all.push_back(fmt::format("{} '{}'", kind_name(key.first), key.second));
    }
    return all.empty() ? "nothing that others do not have" : join(all, ", ");
  }

  Entry* lookup(ComponentKind kind, std::string_view name) {
    const auto key = std::pair(kind, std::string(name));
    if (const auto it = entries.find(key); it != entries.end()) return &it->second;
    const std::vector<fs::path> found = find_plugin_file(folders, kind, name);
    if (found.empty()) return nullptr;
    for (size_t i = 1; i < found.size(); ++i) {
      log::warning(fmt::format("plugin {} is used, {} of the same name is not", found[0].string(),
                               found[i].string()));
    }
    add(found[0]);
    if (const auto it = entries.find(key); it != entries.end()) return &it->second;
    throw PluginError(fmt::format("{} has no {} '{}'; it has: {}", found[0].string(),
                                  kind_name(kind), name, contents(found[0])));
  }
};

PluginRegistry::PluginRegistry(std::vector<fs::path> folders) : impl_(std::make_unique<Impl>()) {
  impl_->folders = std::move(folders);
}
PluginRegistry::~PluginRegistry() = default;

void PluginRegistry::add_file(const fs::path& file) { impl_->add(file); }

const std::vector<fs::path>& PluginRegistry::folders() const { return impl_->folders; }

const ComponentInfo* PluginRegistry::try_find(ComponentKind kind, std::string_view name) {
  const Entry* entry = impl_->lookup(kind, name);
  return entry == nullptr ? nullptr : &entry->component->info;
}

const ComponentInfo& PluginRegistry::find(ComponentKind kind, std::string_view name) {
  if (const ComponentInfo* info = try_find(kind, name)) return *info;
  const std::vector<std::string> known = names(kind);
  const std::string hint = did_you_mean(name, known);
  std::vector<std::string> searched;
  for (const fs::path& folder : folders()) searched.push_back(folder.string());
  throw PluginError(fmt::format(
      "no {} '{}'{} Installed: {}\n  looked for {} in: {}", kind_name(kind), name,
      hint.empty() ? "." : hint, known.empty() ? "none" : join(known, ", "),
      plugin_file_name(kind, name), searched.empty() ? "no folder" : join(searched, ", ")));
}

std::vector<std::string> PluginRegistry::names(ComponentKind kind) const {
  std::set<std::string> all;
  for (const auto& [key, entry] : impl_->entries) {
    if (key.first == kind) all.insert(key.second);
  }
  for (const PluginFile& file : plugin_files(impl_->folders)) {
    if (file.kind == kind) all.insert(file.name);
  }
  return {all.begin(), all.end()};
}

std::vector<ComponentInfo> PluginRegistry::loaded() const {
  std::vector<ComponentInfo> used;
  for (const auto& [key, entry] : impl_->entries) {
    if (entry.used) used.push_back(entry.component->info);
  }
  return used;
}

std::shared_ptr<Component> PluginRegistry::create(ComponentKind kind, std::string_view name,
                                                  const OptionMap& options, const ModelDims& dims) {
  std::shared_ptr<Component> made = probe(kind, name, options, dims);
  impl_->lookup(kind, name)->used = true;
  return made;
}

std::shared_ptr<Component> PluginRegistry::probe(ComponentKind kind, std::string_view name,
                                                 const OptionMap& options, const ModelDims& dims) {
  find(kind, name);
  const Entry& entry = *impl_->lookup(kind, name);
  CreateError error;
  const CreateArgs args{&options, &dims};
  Component* made = entry.component->factory.create(&args, &error);
  if (made != nullptr) return {made, Destroy{entry.library, entry.component}};
  const std::string who = identity(entry.component->info);
  if (error.config) throw ConfigError(fmt::format("{}: {}", who, error.text));
  throw PluginError(fmt::format("{} ({}) could not be created: {}", who,
                                entry.library->file.string(), error.text));
}

std::string describe(const std::shared_ptr<const Component>& component) {
  const auto* made_by = std::get_deleter<Destroy>(component);
  return made_by == nullptr ? "a component" : identity(made_by->component->info);
}

}  // namespace moiety
