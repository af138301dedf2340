#include "core/config/import/shell.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "core/base/strings.h"
#include "core/config/import/shell_expand.h"
#include "core/config/import/shell_words.h"

namespace moiety::config {
namespace {

/// "name" of "name=..." and "name+=...", else "".
std::string assigned_name(const std::string& word) {
  size_t end = 0;
  while (end < word.size() &&
         (std::isalnum(static_cast<unsigned char>(word[end])) != 0 || word[end] == '_')) {
    ++end;
  }
  const bool name = end > 0 && std::isdigit(static_cast<unsigned char>(word[0])) == 0;
  const std::string_view rest = std::string_view(word).substr(end);
  return name && (rest.starts_with("=") || rest.starts_with("+=")) ? word.substr(0, end) : "";
}

std::optional<int64_t> to_integer(const std::string& text) {
  int64_t x = 0;
  const char* end = text.data() + text.size();
  if (text.empty() || std::from_chars(text.data(), end, x).ptr != end) return std::nullopt;
  return x;
}

bool is_unknown(const std::string& word) { return word.find('$') != std::string::npos; }

/// [ a op b ], [ -z a ], [ a ]; nothing when it cannot be told.
std::optional<bool> condition(std::vector<std::string> words) {
  if (!words.empty() && (words[0] == "[" || words[0] == "[[" || words[0] == "test")) {
    words.erase(words.begin());
    if (!words.empty() && words.back().starts_with("]")) words.pop_back();
  }
  // A variable that nothing has set is empty.
  if (words.size() == 2 && words[0] == "-z") return words[1].empty() || is_unknown(words[1]);
  if (words.size() == 2 && words[0] == "-n") return !words[1].empty() && !is_unknown(words[1]);
  if (std::any_of(words.begin(), words.end(), is_unknown)) return std::nullopt;
  if (words.size() == 1) return !words[0].empty();
  if (words.size() != 3) return std::nullopt;
  const std::string& op = words[1];
  if (op == "=" || op == "==") return words[0] == words[2];
  if (op == "!=") return words[0] != words[2];
  const auto a = to_integer(words[0]), b = to_integer(words[2]);
  if (!a || !b) return std::nullopt;
  if (op == "-gt") return *a > *b;
  if (op == "-ge") return *a >= *b;
  if (op == "-lt") return *a < *b;
  if (op == "-le") return *a <= *b;
  if (op == "-eq") return *a == *b;
  if (op == "-ne") return *a != *b;
  return std::nullopt;
}

class Shell {
 public:
  void run(const std::string& text, int line_offset = 0) {
    for (RawCommand& command : split_commands(text)) {
      command.line += line_offset;
      execute(command);
    }
  }
  ShellScript take() { return std::move(script_); }

 private:
  struct Branch {
    bool outside = true;  // the `if` itself would run
    bool taken = false, active = false, unknown = false;
  };

  bool active() const {
    return std::all_of(branches_.begin(), branches_.end(),
                       [](const Branch& b) { return b.active; });
  }

  void execute(RawCommand command) {
    while (!command.words.empty() && keyword(command)) {
    }
    if (command.words.empty() || !active()) return;
    size_t first = 0;
    const std::string& head = command.words[0];
    if (head == "export" || head == "local" || head == "readonly" || head == "declare") first = 1;
    for (; first < command.words.size(); ++first) {
      if (!assign(command.words[first])) break;
    }
    if (first == command.words.size()) return;
    ShellCommand out{{}, command.line};
    for (size_t i = first; i < command.words.size(); ++i) {
      for (std::string& word : expand_word(command.words[i], variables_)) {
        out.words.push_back(std::move(word));
      }
    }
    if (out.words.empty()) return;
    if (out.words[0] == "eval" && depth_ < 8) {
      out.words.erase(out.words.begin());
      ++depth_;
      run(join(out.words, " "), command.line - 1);
      --depth_;
      return;
    }
    if (out.words[0] == "cat" && !command.here.empty()) {
      const std::string name = expand_text(command.output, variables_);
      script_.files[name] = command.here_quoted ? command.here : in_text(command.here);
    }
    script_.commands.push_back(std::move(out));
  }

  /// Deals with a keyword at the front and removes it; false when there is none.
  bool keyword(RawCommand& command) {
    const std::string word = command.words[0];
    if (word == "if" || word == "elif") {
      if (word == "if") branches_.push_back({active(), false, false, false});
      command.words.erase(command.words.begin());
      choose(command);
      command.words.clear();
    } else if (word == "else" && !branches_.empty()) {
      Branch& b = branches_.back();
      b.active = b.outside && !b.taken && !b.unknown;
      b.taken = true;
      command.words.erase(command.words.begin());
    } else if (word == "then" || word == "do" || word == "{" || word == "time") {
      command.words.erase(command.words.begin());
    } else if (word == "fi") {
      if (!branches_.empty()) branches_.pop_back();
      command.words.clear();
    } else {
      return false;
    }
    return true;
  }

  void choose(const RawCommand& command) {
    if (branches_.empty()) return;
    Branch& b = branches_.back();
    b.active = false;
    if (!b.outside || b.taken || b.unknown) return;
    std::vector<std::string> words;
    for (const std::string& raw : command.words) words.push_back(expand_text(raw, variables_));
    const auto holds = condition(words);
    if (!holds) {
      b.unknown = true;
      script_.problems.push_back("line " + std::to_string(command.line) + ": the condition `" +
                                 join(command.words, " ") +
                                 "` is not understood; neither branch is read");
      return;
    }
    b.active = *holds, b.taken = *holds;
  }

  bool assign(const std::string& word) {
    const std::string name = assigned_name(word);
    if (name.empty()) return false;
    const bool append = word[name.size()] == '+';
    std::string_view raw = std::string_view(word).substr(name.size() + (append ? 2 : 1));
    std::string value;
    if (raw.starts_with("(") && raw.ends_with(")")) {
      value = array(raw.substr(1, raw.size() - 2));
    } else {
      value = expand_text(raw, variables_);
    }
    if (append) value = variables_[name] + (raw.starts_with("(") ? " " : "") + value;
    variables_[name] = value;
    return true;
  }

  std::string array(std::string_view inside) {
    std::vector<std::string> words;
    for (const RawCommand& command : split_commands(std::string(inside))) {
      for (const std::string& raw : command.words) {
        for (std::string& word : expand_word(raw, variables_)) words.push_back(std::move(word));
      }
    }
    return join(words, " ");
  }

  /// Variables inside a here-document, where quotes are plain characters.
  std::string in_text(const std::string& text) const {
    std::string escaped;
    for (const char c : text) {
      if (c == '"') escaped += '\\';
      escaped += c;
    }
    return expand_text("\"" + escaped + "\"", variables_);
  }

  Variables variables_;
  std::vector<Branch> branches_;
  ShellScript script_;
  int depth_ = 0;
};

}  // namespace

ShellScript read_shell(const std::string& text) {
  Shell shell;
  shell.run(text);
  return shell.take();
}

}  // namespace moiety::config
