#include "core/config/resolve.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/config/groups.h"
#include "core/config/interpolate.h"
#include "core/config/keys.h"
#include "core/config/load.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

/// References in strings were resolved; what still looks like one is text.
Value escaped(Value value) {
  if (auto* text = std::get_if<std::string>(&value)) *text = escape_references(*text);
  if (auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    for (std::string& text : *texts) text = escape_references(text);
  }
  return value;
}

class Writer {
 public:
  explicit Writer(Draft& d) : d_(d) {}

  void write() {
    for (const Key& key : Keys::all().list()) {
      if (key.role == KeyRole::kValue) {
        leaf(key, key.path(), key.value(d_.config, d_.inputs));
      } else if (key.role == KeyRole::kComponent) {
        component(key, key.choice(d_.config));
        if (key.path() == "optimizer" && !d_.config.param_groups.empty()) {
          line(key, "optimizer.groups", groups_text(d_.config));
        }
      } else if (key.role == KeyRole::kScheduler) {
        component(key, {d_.config.scheduler_type, d_.config.scheduler_options});
      }
    }
    emit();
  }

 private:
  struct Line {
    std::vector<std::string> parts;
    std::string text;
  };

  void component(const Key& key, const ComponentChoice& choice) {
    if (choice.type.empty()) return;  // a gate of a model without MoE layers
    leaf(key, key.path() + ".type", choice.type);
    for (const auto& [name, value] : choice.options) {
      leaf(key, key.path() + ".params." + name, value);
    }
  }

  void leaf(const Key& key, const std::string& path, Value value) {
    line(key, path, value_text(escaped(std::move(value))));
  }

  void line(const Key& key, const std::string& path, std::string text) {
    d_.config.provenance.push_back({path, text, source(key, path)});
    Line line;
    line.text = std::move(text);
    size_t begin = 0;
    for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', begin)) {
      line.parts.push_back(path.substr(begin, dot - begin));
      begin = dot + 1;
    }
    line.parts.push_back(path.substr(begin));
    lines_.push_back(std::move(line));
  }

  std::string source(const Key& key, const std::string& path) const {
    if (const auto it = d_.sources.find(path); it != d_.sources.end()) {
      if (!d_.is_given(path) || it->second.find('(') != std::string::npos) return it->second;
    }
    if (const auto it = d_.given.find(path); it != d_.given.end()) return it->second.text();
    if (path == key.path() && !key.default_text.empty()) return "default: " + key.default_text;
    return "default";
  }

  /// Sections together, in the order in which each first appears.
  void emit() {
    std::vector<size_t> order(lines_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    emit_level(order, 0);
    std::vector<Provenance> sorted;
    for (const size_t i : emitted_) sorted.push_back(std::move(d_.config.provenance[i]));
    d_.config.provenance = std::move(sorted);
  }

  void emit_level(std::vector<size_t> order, size_t depth) {
    std::string& out = d_.config.resolved_yaml;
    while (!order.empty()) {
      const std::string name = lines_[order[0]].parts[depth];
      std::vector<size_t> inside, rest;
      for (const size_t i : order) (lines_[i].parts[depth] == name ? inside : rest).push_back(i);
      const std::string indent(2 * depth, ' ');
      if (lines_[inside[0]].parts.size() == depth + 1) {
        out += indent + name + ": " + lines_[inside[0]].text + "\n";
        emitted_.push_back(inside[0]);
      } else {
        out += indent + name + ":\n";
        emit_level(std::move(inside), depth + 1);
      }
      order = std::move(rest);
    }
  }

  Draft& d_;
  std::vector<Line> lines_;
  std::vector<size_t> emitted_;
};

}  // namespace

void write_resolved(Draft& draft) {
  draft.config.resolved_yaml.clear();
  draft.config.provenance.clear();
  Writer(draft).write();
}

}  // namespace moiety::config

namespace moiety {

std::string place_of(const RunConfig& config, std::string_view path) {
  for (const Provenance& value : config.provenance) {
    if (value.path != path || value.source.starts_with("default")) continue;
    return value.source + ": " + value.path;
  }
  return std::string(path);
}

std::string annotated_yaml(const RunConfig& config) {
  std::string out;
  size_t begin = 0, next = 0;
  while (begin < config.resolved_yaml.size()) {
    const size_t end = config.resolved_yaml.find('\n', begin);
    const std::string line = config.resolved_yaml.substr(begin, end - begin);
    out += line;
    if (line.back() != ':') {
      const size_t pad = line.size() < 44 ? 44 - line.size() : 1;
      out += std::string(pad, ' ') + "# " + config.provenance[next++].source;
    }
    out += "\n";
    begin = end + 1;
  }
  return out;
}

}  // namespace moiety
