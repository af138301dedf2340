#include "core/config/import/shell_words.h"

#include <algorithm>
#include <utility>

namespace moiety::config {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

class Splitter {
 public:
  explicit Splitter(const std::string& text) : text_(text) {}

  std::vector<RawCommand> split() {
    while (at_ < text_.size()) step();
    end_command();
    return std::move(commands_);
  }

 private:
  char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  char next() const { return at_ + 1 < text_.size() ? text_[at_ + 1] : '\0'; }
  void skip() {
    if (now() == '\n') ++line_;
    ++at_;
  }

  void step() {
    const char c = now();
    if (is_blank(c)) {
      ++at_;
    } else if (c == '\\' && (next() == '\n' || next() == '\r')) {
      while (now() != '\n' && now() != '\0') ++at_;
      skip();
    } else if (c == '#') {
      while (now() != '\n' && now() != '\0') ++at_;
    } else if (c == '\n') {
      end_command();
      skip();
      read_here();
    } else if (c == '&' && next() == '>') {
      ++at_;
      redirect();
    } else if (c == ';' || c == '&' || c == '|') {
      end_command();
      ++at_;
    } else if (c == '>' || c == '<') {
      redirect();
    } else {
      word();
    }
  }

  void word() {
    const int line = line_;
    std::string out;
    while (at_ < text_.size()) {
      const char c = now();
      if (c == '(' && out.ends_with('=')) {
        balanced(out, '(', ')');
        continue;
      }
      if (is_blank(c) || c == '\n' || c == ';' || c == '|' || c == '>' || c == '<' || c == '&') {
        break;
      }
      if (c == '\\' && next() == '\n') {
        ++at_;
        skip();
      } else if (c == '\\') {
        take(out), take(out);
      } else if (c == '\'' || c == '"' || c == '`') {
        quoted(out, c);
      } else if (c == '$' && next() == '(') {
        take(out);
        balanced(out, '(', ')');
      } else if (c == '$' && next() == '{') {
        take(out);
        balanced(out, '{', '}');
      } else {
        take(out);
      }
    }
    // The 2 of 2>&1 is no argument.
    if ((now() == '>' || now() == '<') && out.find_first_not_of("0123456789") == out.npos) return;
    if (command_.words.empty()) command_.line = line;
    command_.words.push_back(std::move(out));
  }

  void take(std::string& out) {
    if (at_ >= text_.size()) return;
    out += now();
    skip();
  }

  void quoted(std::string& out, char quote) {
    take(out);
    while (at_ < text_.size() && now() != quote) {
      if (now() == '\\' && quote != '\'') take(out);
      take(out);
    }
    take(out);
  }

  /// From `open` to the `close` that belongs to it; comments inside an array are left out.
  void balanced(std::string& out, char open, char close) {
    int depth = 0;
    do {
      const char c = now();
      if (c == '\'' || c == '"') {
        quoted(out, c);
        continue;
      }
      if (c == '#' && open == '(' && (out.ends_with(' ') || out.ends_with('\n'))) {
        while (now() != '\n' && now() != '\0') ++at_;
        continue;
      }
      if (c == open) ++depth;
      if (c == close) --depth;
      take(out);
    } while (depth > 0 && at_ < text_.size());
  }

  void redirect() {
    const bool here = now() == '<' && next() == '<';
    const bool output = now() == '>';
    while (now() == '>' || now() == '<' || now() == '&' || now() == '-') ++at_;
    while (is_blank(now())) ++at_;
    RawCommand saved = std::exchange(command_, {});
    word();
    const std::string target = command_.words.empty() ? "" : command_.words[0];
    command_ = std::move(saved);
    if (output) command_.output = target;
    if (here) here_ = target;
  }

  void end_command() {
    if (command_.words.empty() && command_.output.empty()) return;
    commands_.push_back(std::exchange(command_, {}));
  }

  /// The lines up to the mark of `<<`, after the line that has it.
  void read_here() {
    if (here_.empty() || commands_.empty()) return;
    RawCommand& command = commands_.back();
    std::string mark;
    for (const char c : here_) {
      if (c == '\'' || c == '"' || c == '\\')
        command.here_quoted = true;
      else
        mark += c;
    }
    here_.clear();
    while (at_ < text_.size()) {
      const size_t end = std::min(text_.find('\n', at_), text_.size());
      const std::string line = text_.substr(at_, end - at_);
      at_ = std::min(end + 1, text_.size());
      ++line_;
      const size_t begin = line.find_first_not_of('\t');
      if (begin != line.npos && line.substr(begin) == mark) return;
      command.here += line + "\n";
    }
  }

  const std::string& text_;
  size_t at_ = 0;
  int line_ = 1;
  RawCommand command_;
  std::string here_;
  std::vector<RawCommand> commands_;
};

}  // namespace

std::vector<RawCommand> split_commands(const std::string& text) { return Splitter(text).split(); }

}  // namespace moiety::config
