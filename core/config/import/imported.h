// Our configuration while an importer writes it: keys with where each came from, and what could not
// be said.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <moiety/component.h>

#include "core/plugin/registry.h"

namespace moiety::config {

/// One key of the file to be printed.
struct ImportedKey {
  std::string path, value;  // "model.layers", "24"
  std::string source;       // "--num-layers 24"; empty = nothing to say
  std::vector<std::string> notes;
};

/// A key or flag of the source that has no key here.
struct Remark {
  std::string source, reason;
};

/// A file, and which key each of its lines is about.
struct PrintedConfig {
  std::string text;
  std::vector<int> key_of_line;  // line - 1 -> index of a key, or -1
};

class Imported {
 public:
  Imported(std::string command, PluginRegistry& plugins)
      : command_(std::move(command)), plugins_(plugins) {}

  /// Sets `path` to a value as YAML text, or refuses `source` when there is no such key. A later
  /// call wins.
  void set(const std::string& path, const std::string& value, const std::string& source,
           const std::string& note = "");
  /// The same where nothing has set it yet.
  void set_default(const std::string& path, const std::string& value, const std::string& source,
                   const std::string& note = "");
  /// `path`.type; false, after refusing `source`, when no such component is installed.
  bool set_type(const std::string& path, const std::string& type, const std::string& source,
                const std::string& note = "");
  /// Adds a comment above a key that is set, else to the head.
  void note(const std::string& path, const std::string& text);
  void refuse(const std::string& source, const std::string& reason);
  /// Of the source, but without effect here.
  void drop(const std::string& source, const std::string& reason);
  /// Takes a key back.
  void erase(const std::string& path);

  const ImportedKey* find(const std::string& path) const;
  /// Whether anything is said of a flag or key of the source.
  bool mentions(const std::string& name) const;
  /// The value of a key as a number, else `fallback`.
  int64_t integer(const std::string& path, int64_t fallback) const;
  /// Whether the component could be named in `path`.type.
  bool has_type(const std::string& path, const std::string& type) const;

  /// Keys that `config check` does not accept become refusals, until it accepts the rest.
  void settle(int64_t world_size);
  /// The file, in the order of docs/config.md.
  std::string yaml() const;
  std::vector<std::string> refusals() const;
  int64_t world_size() const { return world_size_; }

 private:
  std::string head() const;
  PrintedConfig print() const;
  std::string component_around(std::string path) const;
  /// Removes what one error of `config check` is about; false when that is nothing of ours.
  bool refuse_line(const std::string& text, const PrintedConfig& printed);

  std::string command_;
  PluginRegistry& plugins_;
  int64_t world_size_ = 1;
  std::vector<ImportedKey> keys_;
  std::vector<Remark> refused_, dropped_;
  std::vector<std::string> notes_;  // of the head
};

}  // namespace moiety::config
