// The imported file as text, and the check that its own program would make of it.
#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include <moiety/error.h>

#include "core/config/import/imported.h"
#include "core/config/keys.h"
#include "core/config/load.h"

namespace moiety::config {
namespace {

constexpr size_t kWidth = 100;
constexpr const char* kName = "imported";

/// Comment lines of at most kWidth columns; those after the first are indented by `hang` more.
std::vector<std::string> comment(const std::string& text, size_t indent, size_t hang = 0) {
  std::vector<std::string> lines;
  std::string line;
  const auto head = [&](bool first) {
    return std::string(indent, ' ') + "# " + std::string(first ? 0 : hang, ' ');
  };
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (line.empty()) {
      line = head(lines.empty()) + word;
    } else if (line.size() + 1 + word.size() <= kWidth) {
      line += " " + word;
    } else {
      lines.push_back(std::exchange(line, head(false) + word));
    }
    begin = end + 1;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', begin)) {
    parts.push_back(path.substr(begin, dot - begin));
    begin = dot + 1;
  }
  parts.push_back(path.substr(begin));
  return parts;
}

/// Where a key stands in docs/config.md; what lies in a component comes with it.
size_t rank_of(const std::string& path) {
  const std::vector<Key>& keys = Keys::all().list();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (path == keys[i].path() || path.starts_with(keys[i].path() + ".")) return i;
  }
  return keys.size();
}

}  // namespace

Imported::Printed Imported::print() const {
  Printed out;
  const auto line = [&](const std::string& text, int key = -1) {
    out.text += text + "\n";
    out.key_of_line.push_back(key);
  };
  const auto say = [&](const std::string& text, size_t indent, size_t hang = 0) {
    for (const std::string& row : comment(text, indent, hang)) line(row);
  };
  std::string head = "Written by `moiety config " + command_ +
                     "`: " + std::to_string(keys_.size()) + " keys set, " +
                     std::to_string(refused_.size()) + " refused, " +
                     std::to_string(dropped_.size()) + " without effect here.";
  if (world_size_ > 1) {
    const std::string ranks = std::to_string(world_size_);
    head += " For " + ranks + " ranks: check it with --world-size " + ranks + ".";
  }
  say(head, 0);
  for (const std::string& text : notes_) say("note: " + text, 0, 2);
  for (const Remark& r : refused_) say("REFUSED " + r.source + ": " + r.reason, 0, 2);
  line("schema_version: 1");

  std::vector<size_t> order(keys_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto place = [&](size_t i) {
    const std::string& path = keys_[i].path;
    return std::pair(rank_of(path), path.ends_with(".type") ? 0 : 1);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return place(a) < place(b); });
  // Keys of one section together, at the first of them.
  std::vector<std::string> sections;
  const auto section = [&](size_t i) { return split(keys_[i].path)[0]; };
  for (const size_t i : order) {
    if (std::find(sections.begin(), sections.end(), section(i)) == sections.end()) {
      sections.push_back(section(i));
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::find(sections.begin(), sections.end(), section(a)) <
           std::find(sections.begin(), sections.end(), section(b));
  });

  std::vector<std::string> open;  // the maps that the last line stood in
  for (const size_t i : order) {
    const ImportedKey& key = keys_[i];
    std::vector<std::string> parts = split(key.path);
    const std::string leaf = parts.back();
    parts.pop_back();
    size_t depth = 0;
    while (depth < parts.size() && depth < open.size() && parts[depth] == open[depth]) ++depth;
    for (; depth < parts.size(); ++depth) line(std::string(2 * depth, ' ') + parts[depth] + ":");
    open = parts;
    const size_t indent = 2 * parts.size();
    for (const std::string& text : key.notes) say(text, indent);
    std::string text = std::string(indent, ' ') + leaf + ": " + key.value;
    const size_t pad = text.size() < 38 ? 38 - text.size() : 1;
    const bool beside = text.size() + pad + 2 + key.source.size() <= kWidth;
    if (!key.source.empty() && !beside) say(key.source, indent, 2);
    if (!key.source.empty() && beside) text += std::string(pad, ' ') + "# " + key.source;
    line(text, static_cast<int>(i));
  }
  for (const Remark& r : dropped_) say("no effect here: " + r.source + ": " + r.reason, 0, 2);
  return out;
}

std::string Imported::yaml() const { return print().text; }

bool Imported::refuse_line(const std::string& error, const Printed& printed) {
  // "imported:12:5: model.layers: expected ..."
  const std::string head = std::string(kName) + ":";
  if (!error.starts_with(head)) return false;
  int number = 0;
  const char* begin = error.data() + head.size();
  std::from_chars(begin, error.data() + error.size(), number);
  const size_t path_begin = error.find(": ", head.size());
  const size_t text_begin =
      path_begin == error.npos ? error.npos : error.find(": ", path_begin + 2);
  if (number < 1 || static_cast<size_t>(number) > printed.key_of_line.size() ||
      text_begin == error.npos) {
    return false;
  }
  std::string path = error.substr(path_begin + 2, text_begin - path_begin - 2);
  const std::string reason = error.substr(text_begin + 2);
  const int index = printed.key_of_line[static_cast<size_t>(number) - 1];
  if (index >= 0) path = keys_[static_cast<size_t>(index)].path;
  if (find(path) == nullptr) path = component_around(path);
  if (path.empty()) return false;
  // A component goes with all that lies in it.
  const std::string inside = path.ends_with(".type") ? path.substr(0, path.size() - 4) : path + ".";
  const ImportedKey key = *find(path);
  std::string source = path;
  if (!key.source.empty() && key.source.find(path) == std::string::npos) {
    source = key.source + " (" + path + ")";
  }
  std::string whole = reason;
  const auto add = [&](const std::string& text) {
    whole += (whole.ends_with('.') ? " " : ". ") + text;
  };
  for (const std::string& text : key.notes) add(text);
  if (path == "moe.num_experts") add("What is left is a dense model.");
  refuse(source, whole);
  std::erase_if(keys_, [&](const ImportedKey& other) {
    return other.path == path || other.path.starts_with(inside);
  });
  return true;
}

/// "scheduler.type" for something that is missing in scheduler.params; "" when there is none.
std::string Imported::component_around(std::string path) const {
  for (size_t dot = path.rfind('.'); dot != path.npos; dot = path.rfind('.')) {
    path.resize(dot);
    if (find(path + ".type") != nullptr) return path + ".type";
  }
  return "";
}

void Imported::settle(int64_t world_size) {
  world_size_ = world_size;
  for (size_t tries = keys_.size() + 1; tries > 0; --tries) {
    const Printed printed = print();
    try {
      parse_config(printed.text, kName, {{}, world_size}, plugins_);
      return;
    } catch (const ConfigError& e) {
      const std::string text = e.what();
      const std::string error = text.substr(0, text.find('\n'));
      if (refuse_line(error, printed)) continue;
      refuse("the file as a whole", error);
      return;
    }
  }
}

}  // namespace moiety::config
