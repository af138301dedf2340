#include "core/config/interpolate.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/strings.h"
#include "core/config/keys.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

class Interpolator {
 public:
  Interpolator(Node& root, Report& report) : root_(root), report_(report) {}

  void visit(Node& node, const std::string& path) {
    if (node.is_scalar()) resolve(node, path);
    for (size_t i = 0; i < node.items.size(); ++i) {
      visit(node.items[i], path + "[" + std::to_string(i) + "]");
    }
    for (Node::Entry& entry : node.entries) visit(entry.value, child_path(path, entry.key));
  }

 private:
  void resolve(Node& node, const std::string& path) {
    if (node.text.find("${") == std::string::npos) return;
    if (std::find(active_.begin(), active_.end(), path) != active_.end()) return;  // reported
    active_.push_back(path);
    if (std::optional<Node> result = expand(node, path)) {
      result->mark = node.mark;
      node = std::move(*result);
    } else {
      // What follows from the value would only repeat the complaint.
      node.text.clear();
      node.kind = Node::Kind::kNull;
    }
    active_.pop_back();
  }

  std::optional<Node> expand(const Node& node, const std::string& path) {
    const std::string& text = node.text;
    std::string out;
    size_t at = 0;
    for (size_t open = text.find("${"); open != text.npos; open = text.find("${", at)) {
      if (open > at && text[open - 1] == '$') {  // $${
        out += text.substr(at, open - 1 - at) + "${";
        at = open + 2;
        continue;
      }
      const size_t close = text.find('}', open);
      if (close == std::string::npos) return refuse(node, path, "'${' without '}'");
      const std::string name = text.substr(open + 2, close - open - 2);
      const bool whole = open == 0 && close + 1 == text.size();
      const std::optional<Node> value = look_up(node, path, name);
      if (!value) return std::nullopt;
      if (whole) return *value;
      if (!value->is_scalar()) {
        return refuse(
            node, path,
            "${" + name + "} is " + shown(*value) + " and cannot stand inside other text");
      }
      out += text.substr(at, open - at) + value->text;
      at = close + 1;
    }
    return Node::scalar(out + text.substr(at), node.quoted, node.mark);
  }

  std::optional<Node> refuse(const Node& node, const std::string& path, const std::string& what) {
    report_.add(node.mark, path, what);
    return std::nullopt;
  }

  std::optional<Node> look_up(const Node& node, const std::string& path, const std::string& name) {
    if (name.starts_with("env:")) return look_up_environment(node, path, name.substr(4));
    const auto leads_back = [&](const std::string& open) {
      return open == name || open.starts_with(name + ".") || open.starts_with(name + "[");
    };
    if (std::any_of(active_.begin(), active_.end(), leads_back)) {
      const std::string cycle = join(active_, " -> ") + " -> " + name;
      return refuse(node, path, "${" + name + "} leads back to itself: " + cycle);
    }
    Node* target = &root_;
    size_t begin = 0;
    std::string section;
    while (target != nullptr && begin <= name.size()) {
      const size_t dot = std::min(name.find('.', begin), name.size());
      const std::string key = name.substr(begin, dot - begin);
      Node::Entry* entry = target->find(key);
      if (entry == nullptr) return look_up_default(node, path, name, *target, key);
      target = &entry->value;
      begin = dot + 1;
    }
    visit(*target, name);
    if (!report_.ok(name)) return refuse(node, path, "${" + name + "} has no value, see its error");
    return *target;
  }

  std::optional<Node> look_up_default(const Node& node, const std::string& path,
                                      const std::string& name, const Node& map,
                                      const std::string& key) {
    const Key* declared = Keys::all().find(name);
    if (declared != nullptr && declared->role == KeyRole::kValue &&
        declared->default_text.empty()) {
      return parse_value(value_text(declared->option.fallback), node.mark);
    }
    std::vector<std::string> names;
    for (const Node::Entry& entry : map.entries) names.push_back(entry.key);
    return refuse(node, path,
                  "${" + name + "} names a key that is not set" + did_you_mean(key, names) +
                      "; expected ${env:VARIABLE} or the path of a key");
  }

  std::optional<Node> look_up_environment(const Node& node, const std::string& path,
                                          const std::string& text) {
    const size_t split = text.find(":-");
    const std::string variable = text.substr(0, split);
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    const bool has_default = split != std::string::npos;
    if (value != nullptr && (*value != '\0' || !has_default)) {
      return plain(value, node);
    }
    if (has_default) return plain(text.substr(split + 2), node);
    return refuse(node, path,
                  "the environment variable '" + variable +
                      "' is not set; give it, or a default: ${env:" + variable + ":-value}");
  }

  /// Text from outside, read as if it stood in the file.
  static Node plain(const std::string& text, const Node& node) {
    if (!node.quoted && (text == "null" || text == "~")) return {};
    return Node::scalar(text, node.quoted, node.mark);
  }

  Node& root_;
  Report& report_;
  std::vector<std::string> active_;  // paths being resolved, outermost first
};

}  // namespace

void interpolate(Node& root, Report& report) { Interpolator(root, report).visit(root, ""); }

std::string escape_references(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') out += '$';
    out += text[i];
  }
  return out;
}

}  // namespace moiety::config
