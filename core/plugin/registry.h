// Finds plugin libraries, loads them once, and makes their components. The only mutable state that
// outlives a run: libraries are never closed.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <moiety/plugin.h>

namespace moiety {

/// "gating", "expert", "optimizer", "data", "objective".
MOIETY_API const char* kind_name(ComponentKind kind);
MOIETY_API std::optional<ComponentKind> kind_from_name(std::string_view name);

/// "MOIETY_PLUGIN abi=1.0 stdlib=... name=topk version=1.0.0".
struct MOIETY_API Stamp {
  std::string text;
  std::string get(std::string_view key) const;  ///< "" when absent
};

struct LoadedLibrary;  // core/plugin/loader.h

/// One component of a loaded library.
struct ComponentInfo {
  ComponentKind kind{};
  std::string name, summary;
  Traits traits;
  std::vector<OptionSpec> schema;
  std::filesystem::path file;
  Stamp stamp;
};

/// Not for several threads at once. What it returns stays valid as long as it lives.
class MOIETY_API PluginRegistry {
 public:
  /// Folders in the order of search: `--plugin-path` ones, MOIETY_PLUGIN_PATH, then those beside
  /// the executable (<exe>/../lib/moiety/plugins).
  explicit PluginRegistry(std::vector<std::filesystem::path> folders);
  ~PluginRegistry();
  static std::vector<std::filesystem::path> default_folders(
      const std::vector<std::filesystem::path>& first = {});

  /// Loads one file of the configuration's `plugins:`. Throws PluginError.
  void add_file(const std::filesystem::path& file);
  /// Loads moiety_<kind>_<name>.so where needed. Throws PluginError: candidates, "did you mean",
  /// folders searched.
  const ComponentInfo& find(ComponentKind kind, std::string_view name);
  /// The same, but nullptr when there is no such component. A file that is there and cannot be used
  /// is still a PluginError.
  const ComponentInfo* try_find(ComponentKind kind, std::string_view name);
  /// Names that could be given, of loaded components and of files seen.
  std::vector<std::string> names(ComponentKind kind) const;
  const std::vector<std::filesystem::path>& folders() const;
  /// Every component that was created, for the checkpoint and the log.
  std::vector<ComponentInfo> loaded() const;

  /// `options` must be complete and validated (see complete_options). The component keeps its
  /// library. A ConfigError of the constructor stays one, any other exception becomes PluginError;
  /// both say whose it is.
  template <class T>
  std::shared_ptr<T> create(std::string_view name, const OptionMap& options,
                            const ModelDims& dims) {
    return std::static_pointer_cast<T>(create(T::kKind, name, options, dims));
  }
  std::shared_ptr<Component> create(ComponentKind kind, std::string_view name,
                                    const OptionMap& options, const ModelDims& dims);
  /// The same for an instance that is only asked something: loaded() does not name it.
  template <class T>
  std::shared_ptr<T> probe(std::string_view name, const OptionMap& options, const ModelDims& dims) {
    return std::static_pointer_cast<T>(probe(T::kKind, name, options, dims));
  }
  std::shared_ptr<Component> probe(ComponentKind kind, std::string_view name,
                                   const OptionMap& options, const ModelDims& dims);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Fills in defaults, checks types, ranges and names. Throws ConfigError (no file position: the
/// configuration reports positions itself).
MOIETY_API OptionMap complete_options(const ComponentInfo& component, const OptionMap& given);

}  // namespace moiety
