#include "core/config/node.h"

#include <algorithm>
#include <utility>

namespace moiety::config {

std::string Mark::text() const {
  if (line == 0) return source;
  return source + ":" + std::to_string(line) + ":" + std::to_string(column);
}

Node::Entry* Node::find(std::string_view key) {
  const auto it =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  return it == entries.end() ? nullptr : &*it;
}

const Node::Entry* Node::find(std::string_view key) const {
  const auto it =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  return it == entries.end() ? nullptr : &*it;
}

void Node::erase(std::string_view key) {
  std::erase_if(entries, [&](const Entry& e) { return e.key == key; });
}

Node& Node::set(const std::string& key, const Mark& key_mark, Node value) {
  if (Entry* entry = find(key)) {
    entry->mark = key_mark;
    entry->value = std::move(value);
    return entry->value;
  }
  entries.push_back({key, key_mark, std::move(value)});
  return entries.back().value;
}

Node Node::scalar(std::string text, bool quoted, const Mark& mark) {
  Node node;
  node.kind = Kind::kScalar;
  node.text = std::move(text);
  node.quoted = quoted;
  node.mark = mark;
  return node;
}

Node Node::map(const Mark& mark) {
  Node node;
  node.kind = Kind::kMap;
  node.mark = mark;
  return node;
}

std::string child_path(std::string_view parent, std::string_view key) {
  if (parent.empty()) return std::string(key);
  return std::string(parent) + "." + std::string(key);
}

bool is_note(std::string_view key) { return key.starts_with("x-"); }

}  // namespace moiety::config
