#include "core/config/import/shell_expand.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace moiety::config {
namespace {

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Sums of products of signed atoms.
class Sum {
 public:
  Sum(std::string_view text, const Variables& variables) : text_(text), variables_(variables) {}

  std::optional<int64_t> value() {
    const auto x = sum();
    return at_end() ? x : std::nullopt;
  }

 private:
  bool at_end() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    return at_ == text_.size();
  }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::optional<int64_t> sum() {
    auto x = product();
    while (x) {
      const bool plus = take('+');
      if (!plus && !take('-')) return x;
      const auto y = product();
      if (!y) return y;
      *x += plus ? *y : -*y;
    }
    return x;
  }

  std::optional<int64_t> product() {
    auto x = atom();
    while (x) {
      const char op = take('*') ? '*' : take('/') ? '/' : take('%') ? '%' : ' ';
      if (op == ' ') return x;
      const auto y = atom();
      if (!y || (op != '*' && *y == 0)) return std::nullopt;
      *x = op == '*' ? *x * *y : op == '/' ? *x / *y : *x % *y;
    }
    return x;
  }

  std::optional<int64_t> atom() {
    if (take('-')) {
      const auto x = atom();
      return x ? std::optional(-*x) : x;
    }
    if (take('(')) {
      const auto x = sum();
      return take(')') ? x : std::nullopt;
    }
    const bool braces = take('$') && take('{');
    if (at_end()) return std::nullopt;
    const size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    std::string word(text_.substr(begin, at_ - begin));
    if (braces && !take('}')) return std::nullopt;
    const auto it = variables_.find(word);
    if (it != variables_.end()) word = it->second;
    int64_t x = 0;
    const char* end = word.data() + word.size();
    const bool whole = !word.empty() && std::from_chars(word.data(), end, x).ptr == end;
    return whole ? std::optional(x) : std::nullopt;
  }

  std::string_view text_;
  const Variables& variables_;
  size_t at_ = 0;
};

class Expander {
 public:
  Expander(std::string_view raw, const Variables& variables, bool splits)
      : raw_(raw), variables_(variables), splits_(splits) {}

  std::vector<std::string> words() {
    while (at_ < raw_.size()) {
      const char c = raw_[at_];
      if (c == '\'' && !in_quotes_) {
        const size_t end = std::min(raw_.find('\'', at_ + 1), raw_.size());
        add(raw_.substr(at_ + 1, end - at_ - 1), false);
        at_ = end + 1;
      } else if (c == '"') {
        in_quotes_ = !in_quotes_, some_ = true, ++at_;
      } else if (c == '\\' && at_ + 1 < raw_.size()) {
        backslash();
      } else if (c == '$') {
        dollar();
      } else if (c == '`') {
        const size_t end = std::min(raw_.find('`', at_ + 1), raw_.size() - 1);
        add(std::string("$(") + std::string(raw_.substr(at_ + 1, end - at_ - 1)) + ")", false);
        at_ = end + 1;
      } else {
        word_ += c, some_ = true, ++at_;
      }
    }
    finish();
    return std::move(words_);
  }

 private:
  void finish() {
    if (some_) words_.push_back(word_);
    word_.clear(), some_ = false;
  }

  void add(std::string_view text, bool split) {
    if (!split || in_quotes_ || !splits_) {
      word_ += text, some_ = true;
      return;
    }
    for (const char c : text) {
      if (is_blank(c)) {
        finish();
      } else {
        word_ += c, some_ = true;
      }
    }
  }

  void backslash() {
    const char next = raw_[at_ + 1];
    at_ += 2;
    if (next == '\n') return;
    if (in_quotes_ && next != '"' && next != '\\' && next != '$' && next != '`') word_ += '\\';
    word_ += next, some_ = true;
  }

  void dollar() {
    const size_t begin = at_++;
    if (raw_.substr(begin).starts_with("$((")) {
      const size_t end = closing(at_);
      if (end == raw_.npos) return add(rest(begin), false);
      at_ = end + 1;
      const auto x = arithmetic(raw_.substr(begin + 3, end - begin - 4), variables_);
      return add(x ? std::to_string(*x) : std::string(raw_.substr(begin, at_ - begin)), false);
    }
    if (at_ < raw_.size() && raw_[at_] == '(') {
      const size_t end = std::min(closing(at_), raw_.size() - 1);
      at_ = end + 1;
      return add(raw_.substr(begin, at_ - begin), false);
    }
    if (at_ < raw_.size() && raw_[at_] == '{') {
      const size_t end = std::min(raw_.find('}', at_), raw_.size() - 1);
      const std::string_view inside = raw_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
      return braces(inside, raw_.substr(begin, at_ - begin));
    }
    const size_t name = at_;
    while (at_ < raw_.size() && is_name(raw_[at_])) ++at_;
    if (at_ == name && at_ < raw_.size()) ++at_;  // $@, $?
    const auto it = variables_.find(raw_.substr(name, at_ - name));
    if (it == variables_.end()) return add(raw_.substr(begin, at_ - begin), false);
    add(it->second, true);
  }

  /// ${name}, ${name[@]}, ${name:-default}, ${name-default}.
  void braces(std::string_view inside, std::string_view whole) {
    size_t end = 0;
    while (end < inside.size() && is_name(inside[end])) ++end;
    const std::string_view name = inside.substr(0, end), rest = inside.substr(end);
    const auto it = variables_.find(name);
    const bool known = it != variables_.end() && !(rest.starts_with(":-") && it->second.empty());
    if (known && (rest.empty() || rest == "[@]" || rest == "[*]" || rest.starts_with(":-") ||
                  rest.starts_with("-"))) {
      const bool array = rest.starts_with("[");
      const bool quotes = in_quotes_;
      if (array) in_quotes_ = false;  // "${A[@]}" is one word an element
      add(it->second, true);
      in_quotes_ = quotes;
    } else if (rest.starts_with(":-") || rest.starts_with("-")) {
      add(expand_text(rest.substr(rest[0] == ':' ? 2 : 1), variables_), true);
    } else {
      add(whole, false);
    }
  }

  /// Where the parenthesis at `open` is closed.
  size_t closing(size_t open) const {
    int depth = 0;
    for (size_t i = open; i < raw_.size(); ++i) {
      if (raw_[i] == '(') ++depth;
      if (raw_[i] == ')' && --depth == 0) return i;
    }
    return raw_.npos;
  }

  std::string rest(size_t begin) {
    at_ = raw_.size();
    return std::string(raw_.substr(begin));
  }

  std::string_view raw_;
  const Variables& variables_;
  bool splits_, in_quotes_ = false, some_ = false;
  size_t at_ = 0;
  std::string word_;
  std::vector<std::string> words_;
};

}  // namespace

std::vector<std::string> expand_word(std::string_view raw, const Variables& variables) {
  return Expander(raw, variables, true).words();
}

std::string expand_text(std::string_view raw, const Variables& variables) {
  const std::vector<std::string> words = Expander(raw, variables, false).words();
  return words.empty() ? "" : words[0];
}

std::optional<int64_t> arithmetic(std::string_view text, const Variables& variables) {
  return Sum(text, variables).value();
}

}  // namespace moiety::config
