// The imported file as text.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/config/import/imported.h"
#include "core/config/keys.h"

namespace moiety::config {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kSourceColumn = 38;

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

/// Indices of the keys as they are printed: sections together, in the order of docs/config.md.
std::vector<size_t> printing_order(const std::vector<ImportedKey>& keys) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto place = [&](size_t i) {
    return std::pair(rank_of(keys[i].path), keys[i].path.ends_with(".type") ? 0 : 1);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return place(a) < place(b); });
  std::vector<std::string> sections;  // by the first key of each
  const auto section = [&](size_t i) {
    const std::string name = split(keys[i].path)[0];
    const auto it = std::find(sections.begin(), sections.end(), name);
    return it - sections.begin();
  };
  for (const size_t i : order) {
    if (section(i) == static_cast<ptrdiff_t>(sections.size())) {
      sections.push_back(split(keys[i].path)[0]);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return section(a) < section(b); });
  return order;
}

class Printer {
 public:
  void line(const std::string& text, int key = -1) {
    out_.text += text + "\n";
    out_.key_of_line.push_back(key);
  }
  void say(const std::string& text, size_t indent, size_t hang) {
    for (const std::string& row : comment(text, indent, hang)) line(row);
  }

  void key(const ImportedKey& key, size_t index) {
    std::vector<std::string> parts = split(key.path);
    const std::string leaf = parts.back();
    parts.pop_back();
    open(parts);
    const size_t indent = 2 * parts.size();
    for (const std::string& text : key.notes) say(text, indent, 0);
    std::string text = std::string(indent, ' ') + leaf + ": " + key.value;
    if (!key.source.empty()) {
      const size_t pad = text.size() < kSourceColumn ? kSourceColumn - text.size() : 1;
      if (text.size() + pad + 2 + key.source.size() <= kWidth) {
        text += std::string(pad, ' ') + "# " + key.source;
      } else {
        say(key.source, indent, 2);
      }
    }
    line(text, static_cast<int>(index));
  }

  PrintedConfig take() { return std::move(out_); }

 private:
  /// Begins the maps that the last key did not stand in.
  void open(const std::vector<std::string>& maps) {
    size_t depth = 0;
    while (depth < maps.size() && depth < open_.size() && maps[depth] == open_[depth]) ++depth;
    for (; depth < maps.size(); ++depth) line(std::string(2 * depth, ' ') + maps[depth] + ":");
    open_ = maps;
  }

  PrintedConfig out_;
  std::vector<std::string> open_;
};

}  // namespace

std::string Imported::head() const {
  std::string text = "Written by `moiety config " + command_ +
                     "`: " + std::to_string(keys_.size()) + " keys set, " +
                     std::to_string(refused_.size()) + " refused, " +
                     std::to_string(dropped_.size()) + " without effect here.";
  if (world_size_ > 1) {
    const std::string ranks = std::to_string(world_size_);
    text += " For " + ranks + " ranks: check it with --world-size " + ranks + ".";
  }
  return text;
}

PrintedConfig Imported::print() const {
  Printer out;
  out.say(head(), 0, 0);
  for (const std::string& text : notes_) out.say("note: " + text, 0, 2);
  for (const Remark& r : refused_) out.say("REFUSED " + r.source + ": " + r.reason, 0, 2);
  out.line("schema_version: 1");
  for (const size_t i : printing_order(keys_)) out.key(keys_[i], i);
  for (const Remark& r : dropped_) out.say("no effect here: " + r.source + ": " + r.reason, 0, 2);
  return out.take();
}

std::string Imported::yaml() const { return print().text; }

}  // namespace moiety::config
