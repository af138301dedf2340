// What `config check` would say of the imported file: keys that it does not accept are taken back.
#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include <moiety/error.h>

#include "core/config/import/imported.h"
#include "core/config/load.h"

namespace moiety::config {
namespace {

constexpr const char* kName = "imported";

/// "imported:12:5: model.layers: expected ..." in its parts.
struct CheckError {
  size_t line = 0;  // 0 = the text is of another form
  std::string path, problem;
};

CheckError parse_error(const std::string& text) {
  const std::string head = std::string(kName) + ":";
  const size_t path = text.find(": ", head.size());
  const size_t problem = path == text.npos ? text.npos : text.find(": ", path + 2);
  if (!text.starts_with(head) || problem == text.npos) return {};
  CheckError error;
  std::from_chars(text.data() + head.size(), text.data() + text.size(), error.line);
  error.path = text.substr(path + 2, problem - path - 2);
  error.problem = text.substr(problem + 2);
  return error;
}

/// The problem, and what the key's comments say beside it.
std::string reason_of(const ImportedKey& key, std::string problem) {
  const auto add = [&](const std::string& text) {
    problem += (problem.ends_with('.') ? " " : ". ") + text;
  };
  for (const std::string& text : key.notes) add(text);
  if (key.path == "moe.num_experts") add("What is left is a dense model.");
  return problem;
}

}  // namespace

bool Imported::refuse_line(const std::string& text, const PrintedConfig& printed) {
  const CheckError error = parse_error(text);
  if (error.line < 1 || error.line > printed.key_of_line.size()) return false;
  const int index = printed.key_of_line[error.line - 1];
  std::string path = index < 0 ? error.path : keys_[static_cast<size_t>(index)].path;
  if (find(path) == nullptr) path = component_around(path);
  if (path.empty()) return false;
  const ImportedKey key = *find(path);
  const bool named = key.source.empty() || key.source.find(path) != std::string::npos;
  refuse(named ? path : key.source + " (" + path + ")", reason_of(key, error.problem));
  // A component goes with all that lies in it.
  const std::string inside = path.ends_with(".type") ? path.substr(0, path.size() - 4) : path + ".";
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
    const PrintedConfig printed = print();
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
