#include "core/config/read_keys.h"

#include <algorithm>
#include <optional>

#include "core/base/strings.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

/// "; did you mean 'hidden'?"; else the section that has such a key.
std::string suggestion(const std::string& section, const std::string& name) {
  const Keys& keys = Keys::all();
  std::vector<std::string> names = keys.children(section);
  if (section.empty()) names.emplace_back("base");
  std::string near = did_you_mean(name, names);
  if (!near.empty()) return near;
  for (const Key& key : keys.list()) {
    if (key.leaf() == name) return "; did you mean '" + key.path() + "'?";
  }
  std::sort(names.begin(), names.end());
  if (section.empty()) return "";
  return "; expected one of: " + join(names, ", ");
}

class KeyReader {
 public:
  explicit KeyReader(Draft& draft) : d_(draft) {}

  void read_section(const Node& node, const std::string& section) {
    if (node.is_null() && !section.empty()) return;  // `model:` with nothing behind it
    if (!node.is_map()) {
      d_.report.add(node.mark, section, "expected a map of keys, got " + shown(node));
      return;
    }
    const Keys& keys = Keys::all();
    for (const Node::Entry& entry : node.entries) {
      if (is_note(entry.key)) continue;
      const std::string path = child_path(section, entry.key);
      if (const Key* key = keys.find(section, entry.key)) {
        d_.given.emplace(key->path(), entry.value.mark);
        if (d_.report.ok(key->path())) read(*key, entry);
      } else if (const Key* whole = keys.shorthand(path); whole && entry.value.is_scalar()) {
        d_.given.emplace(whole->path(), entry.value.mark);
        read(*whole, entry);
      } else if (keys.is_section(path)) {
        d_.given.emplace(path, entry.mark);
        read_section(entry.value, path);
      } else {
        d_.report.add(entry.mark, path, "unknown key" + suggestion(section, entry.key));
      }
    }
  }

 private:
  void read(const Key& key, const Node::Entry& entry) {
    const Node& node = entry.value;
    if (node.is_null() && key.nullable) {
      d_.given.erase(key.path());
      return;
    }
    switch (key.role) {
      case KeyRole::kValue:
      case KeyRole::kInput: read_plain(key, node); break;
      case KeyRole::kComponent:
      case KeyRole::kScheduler: d_.components[key.path()] = &node; break;
      case KeyRole::kGateOption:
        d_.gate_keys.push_back({key.path(), key.gate_option, &node});
        break;
      case KeyRole::kAccepted:
        if (read_value(node, key.option, key.rules, key.path(), d_.report)) {
          d_.notes.push_back(key.path() + ": changes nothing here: " + key.reason);
        }
        break;
      case KeyRole::kLater:
        if (is_off(node, key)) break;
        d_.report.add(entry.mark, key.path(), later_text(key));
        break;
    }
  }

  void read_plain(const Key& key, const Node& node) {
    const std::vector<std::string>& later = key.later_choices;
    if (node.is_scalar() && std::find(later.begin(), later.end(), node.text) != later.end()) {
      d_.report.add(node.mark, key.path(),
                    "'" + node.text + "' is what this version does not have; expected " +
                        expected(key.option, key.rules));
      return;
    }
    if (const auto value = read_value(node, key.option, key.rules, key.path(), d_.report)) {
      key.store(d_, *value);
    }
  }

  Draft& d_;
};

}  // namespace

void read_keys(const Node& root, Draft& draft) {
  draft.top = root.mark;
  KeyReader(draft).read_section(root, "");
}

bool is_off(const Node& node, const Key& key) {
  if (node.is_null()) return true;
  if (node.is_scalar()) {
    const auto flag = to_bool(node);
    if (flag && !*flag) return true;
    return std::find(key.off.begin(), key.off.end(), node.text) != key.off.end();
  }
  if (!node.is_map()) return false;
  if (node.entries.empty()) return true;
  if (const Node::Entry* enabled = node.find("enabled")) {
    const auto flag = to_bool(enabled->value);
    return flag && !*flag;
  }
  const Node::Entry* device = node.find("device");
  return device != nullptr && (device->value.is_null() || device->value.text == "none");
}

std::string later_text(const Key& key) {
  if (!key.reason.starts_with("needs ")) return key.reason;
  const size_t split = key.reason.find(';');
  std::string text = key.reason.substr(0, split) + ", which this version does not have";
  if (split != std::string::npos) text += key.reason.substr(split);
  return text;
}

}  // namespace moiety::config
