// The tree of a configuration file: YAML's data with the place where each key and value stood.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moiety::config {

/// Where something was written.
struct Mark {
  std::string source;        // "configs/a.yaml" or "override 'a.b=3'"
  int line = 0, column = 0;  // from 1; 0 = the source as a whole

  std::string text() const;  ///< "configs/a.yaml:12:5"
};

struct Node {
  enum class Kind : unsigned char { kNull, kScalar, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  bool quoted = false;  // of a scalar: a string whatever it looks like
  std::string text;     // of a scalar
  Mark mark;
  std::vector<Node> items;     // of a list
  std::vector<Entry> entries;  // of a map, in the file's order; keys are unique

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_map() const { return kind == Kind::kMap; }

  /// The entry of a map, or nullptr.
  Entry* find(std::string_view key);
  const Entry* find(std::string_view key) const;
  void erase(std::string_view key);
  /// Adds an entry, or replaces its value.
  Node& set(const std::string& key, const Mark& key_mark, Node value);

  static Node scalar(std::string text, bool quoted, const Mark& mark);
  static Node map(const Mark& mark);
};

struct Node::Entry {
  std::string key;
  Mark mark;  // of the key
  Node value;
};

/// "moe" and "gate" -> "moe.gate"; the root's path is "".
std::string child_path(std::string_view parent, std::string_view key);

/// Keys that start with x- are free notes.
bool is_note(std::string_view key);

/// Reads YAML 1.2 (hence JSON too). `source` is shown in messages. An empty document is an empty
/// map. Throws ConfigError: syntax, duplicate keys, tags, merge keys, a second document.
Node parse_yaml(const std::string& text, const std::string& source);

/// The same for the value of an override: every mark is `mark`, an empty text is null.
Node parse_value(const std::string& text, const Mark& mark);

}  // namespace moiety::config
