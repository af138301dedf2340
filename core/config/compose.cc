#include "core/config/compose.h"

#include <algorithm>
#include <cctype>
#include <system_error>
#include <utility>

#include <moiety/error.h>

#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/config/keys.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

namespace fs = std::filesystem;

bool same_type(const Node& a, const Node& b) {
  return a.is_scalar() && b.is_scalar() &&
         std::equal(a.text.begin(), a.text.end(), b.text.begin(), b.text.end(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

/// "; did you mean 'quickstart.yaml'?" from the files beside the one that is missing.
std::string similar_file(const fs::path& file) {
  std::error_code ignored;
  std::vector<std::string> names;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return did_you_mean(file.filename().string(), names);
}

Node read_source(const fs::path& file, const std::string& where) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) {
    throw ConfigError(where + "no file '" + file.string() +
                      "'; expected a configuration in YAML or JSON" + similar_file(file));
  }
  try {
    return parse_yaml(read_file(file), file.string());
  } catch (const ConfigError&) {
    throw;
  } catch (const Error& e) {
    throw ConfigError(where + e.what());
  }
}

/// Walks `base:` from file to file.
class Composer {
 public:
  Node load(const fs::path& file, const std::string& where) {
    const fs::path identity = fs::weakly_canonical(file);
    if (std::find(chain_.begin(), chain_.end(), identity) != chain_.end()) {
      throw ConfigError(where + "'" + file.string() + "' is its own base: " + chain_text(file));
    }
    chain_.push_back(identity);
    shown_.push_back(file.string());
    Node root = join_bases(read_source(file, where), file.parent_path());
    chain_.pop_back();
    shown_.pop_back();
    return root;
  }

  Node join_bases(Node root, const fs::path& folder) {
    apply_aliases(root);
    const Node::Entry* base = root.find("base");
    if (base == nullptr) return root;
    std::vector<Node> names;
    if (base->value.is_list()) names = base->value.items;
    if (base->value.is_scalar()) names = {base->value};
    if (names.empty()) refuse(base->value);
    Node result = Node::map(root.mark);
    for (const Node& name : names) {
      const auto text = to_string(name);
      if (!text || text->empty()) refuse(name);
      if (text->find("${") != std::string::npos) {
        throw ConfigError(name.mark.text() +
                          ": base: a plain path is needed: bases are read "
                          "before ${...} is resolved");
      }
      merge(result, load((folder / *text).lexically_normal(), name.mark.text() + ": base: "));
    }
    root.erase("base");
    result.mark = root.mark;
    merge(result, std::move(root));
    return result;
  }

 private:
  [[noreturn]] static void refuse(const Node& node) {
    throw ConfigError(node.mark.text() + ": base: expected a path or a list of paths, got " +
                      (node.is_list() ? "an empty list" : shown(node)));
  }
  std::string chain_text(const fs::path& file) const {
    return join(shown_, " -> ") + " -> " + file.string();
  }

  std::vector<fs::path> chain_;
  std::vector<std::string> shown_;
};

void rename_aliases(Node& map, const std::string& section) {
  const Keys& keys = Keys::all();
  for (Node::Entry& entry : map.entries) {
    const std::string path = child_path(section, entry.key);
    if (keys.is_section(path)) {
      rename_aliases(entry.value, path);
    } else if (const Key* key = keys.find(section, entry.key); key && key->leaf() != entry.key) {
      if (const Node::Entry* other = map.find(key->leaf())) {
        throw ConfigError(entry.mark.text() + ": " + path + ": set twice; it is another name of " +
                          key->path() + ", given at line " + std::to_string(other->mark.line));
      }
      entry.key = key->leaf();
    }
  }
}

}  // namespace

Node compose_file(const fs::path& file) { return Composer().load(file, ""); }

Node compose_text(const std::string& text, const std::string& shown_name) {
  return Composer().join_bases(parse_yaml(text, shown_name), "");
}

void merge(Node& under, Node over) {
  if (!under.is_map() || !over.is_map()) {
    under = std::move(over);
    return;
  }
  const Node::Entry* old_type = under.find("type");
  const Node::Entry* new_type = over.find("type");
  if (old_type != nullptr && new_type != nullptr && !same_type(old_type->value, new_type->value)) {
    under.erase("params");
  }
  under.mark = over.mark;
  for (Node::Entry& entry : over.entries) {
    if (Node::Entry* old = under.find(entry.key)) {
      old->mark = entry.mark;
      merge(old->value, std::move(entry.value));
    } else {
      under.entries.push_back(std::move(entry));
    }
  }
}

void apply_aliases(Node& root) { rename_aliases(root, ""); }

}  // namespace moiety::config
