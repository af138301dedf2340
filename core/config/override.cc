// Overrides from the command line, applied to the composed tree.
#include <algorithm>
#include <charconv>
#include <utility>

#include <moiety/error.h>

#include <fmt/format.h>

#include "core/base/strings.h"
#include "core/config/compose.h"
#include "core/config/keys.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

/// One step of a path: a key, or an element of a list.
struct Step {
  std::string key;
  size_t index = 0;
  bool is_index = false;
};

struct Override {
  Mark mark;
  std::string path;
  std::vector<Step> steps;
  bool removes = false;
  Node value;
};

bool parse_part(const std::string& part, std::vector<Step>& steps) {
  const size_t bracket = part.find('[');
  const std::string key = part.substr(0, bracket);
  if (key.empty()) return false;
  steps.push_back({key, 0, false});
  size_t at = bracket;
  while (at != std::string::npos && at < part.size()) {
    const size_t end = part.find(']', at);
    if (part[at] != '[' || end == std::string::npos) return false;
    size_t index = 0;
    const char* last = part.data() + end;
    const auto result = std::from_chars(part.data() + at + 1, last, index);
    if (result.ec != std::errc() || result.ptr != last) return false;
    steps.push_back({"", index, true});
    at = end + 1;
  }
  return true;
}

/// The path's keys under their declared names.
void rename_aliases(std::vector<Step>& steps) {
  std::string section;
  for (Step& step : steps) {
    if (step.is_index) return;
    if (const Key* key = Keys::all().find(section, step.key)) step.key = key->leaf();
    section = child_path(section, step.key);
  }
}

std::string path_text(const std::vector<Step>& steps, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    if (steps[i].is_index) text += fmt::format("[{}]", steps[i].index);
    if (!steps[i].is_index) text = child_path(text, steps[i].key);
  }
  return text;
}

bool parse_override(const std::string& text, Override& out, Report& report) {
  out.mark.source = "override '" + text + "'";
  out.removes = text.starts_with('~');
  const size_t equals = text.find('=');
  const std::string path = text.substr(out.removes ? 1 : 0, out.removes ? text.npos : equals);
  bool good = out.removes ? equals == std::string::npos : equals != std::string::npos;
  size_t begin = 0;
  while (good) {
    const size_t dot = path.find('.', begin);
    good = parse_part(path.substr(begin, dot == path.npos ? path.npos : dot - begin), out.steps);
    if (dot == std::string::npos) break;
    begin = dot + 1;
  }
  if (!good) {
    report.add(out.mark, "", "expected a.b=value, a.b[0]=value or ~a.b");
    return false;
  }
  rename_aliases(out.steps);
  out.path = path_text(out.steps, out.steps.size());
  if (out.removes) return true;
  try {
    out.value = parse_value(text.substr(equals + 1), out.mark);
  } catch (const ConfigError& e) {
    const std::string problem = e.what();
    report.add(out.mark, out.path, problem.substr(out.mark.text().size() + 2));
    return false;
  }
  return true;
}

bool is_type_change(const Override& o) {
  return !o.removes && !o.steps.back().is_index && o.steps.back().key == "type";
}

std::vector<std::string> names_of(const Node& map) {
  std::vector<std::string> names;
  for (const Node::Entry& entry : map.entries) names.push_back(entry.key);
  return names;
}

class Applier {
 public:
  Applier(const Override& o, Report& report) : o_(o), report_(report) {}

  void apply(Node& root) {
    Node* node = &root;
    for (size_t i = 0; i + 1 < o_.steps.size(); ++i) {
      node = descend(*node, i);
      if (node == nullptr) return;
    }
    if (o_.removes) {
      remove(*node);
    } else {
      assign(*node);
    }
  }

 private:
  void refuse(size_t count, const std::string& problem) {
    report_.add(o_.mark, path_text(o_.steps, count), problem);
  }

  Node* descend(Node& node, size_t i) {
    if (o_.steps[i].is_index) return element(node, i);
    if (!node.is_map() && !(node.is_null() && !o_.removes)) {
      refuse(i, "is " + shown(node) + " and has no keys");
      return nullptr;
    }
    if (node.is_null()) node = Node::map(o_.mark);
    if (Node::Entry* entry = node.find(o_.steps[i].key)) return &entry->value;
    if (o_.removes || o_.steps[i + 1].is_index) {
      nothing_there(node, i);
      return nullptr;
    }
    return &node.set(o_.steps[i].key, o_.mark, Node::map(o_.mark));
  }

  Node* element(Node& node, size_t i) {
    if (!node.is_list()) {
      refuse(i, "is " + shown(node) + ", not a list");
      return nullptr;
    }
    if (o_.steps[i].index >= node.items.size()) {
      refuse(i + 1,
             "the list has " + std::to_string(node.items.size()) + " elements, counted from 0");
      return nullptr;
    }
    return &node.items[o_.steps[i].index];
  }

  void nothing_there(const Node& node, size_t i) {
    const std::string& key = o_.steps[i].key;
    refuse(i + 1, std::string(o_.removes ? "nothing to remove" : "no list to change") +
                      ": the key is not set" + did_you_mean(key, names_of(node)));
  }

  void assign(Node& node) {
    const size_t last = o_.steps.size() - 1;
    if (o_.steps[last].is_index) {
      if (Node* item = element(node, last)) *item = o_.value;
      return;
    }
    if (!node.is_map() && !node.is_null())
      return refuse(last, "is " + shown(node) + " and has no keys");
    if (node.is_null()) node = Node::map(o_.mark);
    if (is_type_change(o_)) {  // as a file laid on top: drops the params of another type
      Node layer = Node::map(node.mark);
      layer.set("type", o_.mark, o_.value);
      merge(node, std::move(layer));
    } else {
      node.set(o_.steps[last].key, o_.mark, o_.value);
    }
  }

  void remove(Node& node) {
    const size_t last = o_.steps.size() - 1;
    if (o_.steps[last].is_index) {
      if (element(node, last) == nullptr) return;
      node.items.erase(node.items.begin() + static_cast<std::ptrdiff_t>(o_.steps[last].index));
    } else if (!node.is_map() || node.find(o_.steps[last].key) == nullptr) {
      nothing_there(node, last);
    } else {
      node.erase(o_.steps[last].key);
    }
  }

  const Override& o_;
  Report& report_;
};

}  // namespace

void apply_overrides(Node& root, const std::vector<std::string>& overrides, Report& report) {
  std::vector<Override> parsed;
  for (const std::string& text : overrides) {
    Override o;
    if (parse_override(text, o, report)) parsed.push_back(std::move(o));
  }
  std::stable_partition(parsed.begin(), parsed.end(), is_type_change);
  for (const Override& o : parsed) Applier(o, report).apply(root);
}

}  // namespace moiety::config
