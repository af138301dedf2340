#include "core/config/scalar.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

namespace moiety::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// [-+]? (0 | [1-9][0-9]*): a leading zero would be octal to some readers.
bool looks_decimal(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  return std::all_of(text.begin(), text.end(), is_digit);
}

/// [-+]? ([0-9]+ (. [0-9]*)? | . [0-9]+) ([eE] [-+]? [0-9]+)?
bool looks_float(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t begin = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i - begin;
  };
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  const size_t first = i;
  size_t mantissa = digits();
  if (mantissa > 1 && text[first] == '0') return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

bool is_plain(const Node& node) { return node.is_scalar() && !node.quoted; }

template <class T>
std::optional<T> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  T x{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), x);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return x;
}

/// What YAML 1.1 or 1.2 would not read as this string.
bool needs_quotes(const std::string& text) {
  if (text.empty() || text.back() == ' ') return true;
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' ||
           c == '/' || c == ' ';
  };
  if (!std::all_of(text.begin(), text.end(), plain)) return true;
  const auto first = static_cast<unsigned char>(text[0]);
  if (std::isalpha(first) == 0 && text[0] != '_' && text[0] != '/') return true;
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  static constexpr std::array kWords = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
  return std::any_of(kWords.begin(), kWords.end(), [&](const char* word) { return lower == word; });
}

template <class T, class Text>
std::string list_text(const std::vector<T>& items, Text&& text) {
  std::string out = "[";
  for (size_t i = 0; i < items.size(); ++i) out += (i == 0 ? "" : ", ") + text(items[i]);
  return out + "]";
}

}  // namespace

std::optional<bool> to_bool(const Node& node) {
  if (!is_plain(node)) return std::nullopt;
  if (node.text == "true" || node.text == "True" || node.text == "TRUE") return true;
  if (node.text == "false" || node.text == "False" || node.text == "FALSE") return false;
  return std::nullopt;
}

std::optional<int64_t> to_int(const Node& node) {
  if (!is_plain(node)) return std::nullopt;
  if (looks_decimal(node.text)) return parse_number<int64_t>(node.text);
  if (!looks_float(node.text) || node.text.find_first_of("eE") == std::string::npos) {
    return std::nullopt;
  }
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const std::optional<double> x = parse_number<double>(node.text);
  if (!x || *x != std::floor(*x) || std::abs(*x) > kExact) return std::nullopt;
  return static_cast<int64_t>(*x);
}

std::optional<double> to_float(const Node& node) {
  if (!is_plain(node) || !looks_float(node.text)) return std::nullopt;
  return parse_number<double>(node.text);
}

std::optional<std::string> to_string(const Node& node) {
  if (!node.is_scalar()) return std::nullopt;
  if (node.quoted) return node.text;
  if (to_bool(node) || to_float(node)) return std::nullopt;
  return node.text;
}

std::optional<double> to_seconds(const Node& node) {
  if (const auto x = to_float(node)) return x;
  if (!node.is_scalar()) return std::nullopt;
  double seconds = 0;
  std::string_view rest = node.text;
  double last_unit = 1e300;  // units come in falling order, each once
  while (!rest.empty()) {
    const size_t end = rest.find_first_not_of("0123456789.");
    if (end == 0 || end == std::string_view::npos) return std::nullopt;
    const auto number = parse_number<double>(rest.substr(0, end));
    const double unit = rest[end] == 's'   ? 1
                        : rest[end] == 'm' ? 60
                        : rest[end] == 'h' ? 3600
                        : rest[end] == 'd' ? 86400
                                           : 0;
    if (!number || unit == 0 || unit >= last_unit) return std::nullopt;
    seconds += *number * unit;
    last_unit = unit;
    rest.remove_prefix(end + 1);
  }
  return last_unit < 1e300 ? std::optional(seconds) : std::nullopt;
}

std::string float_text(double x) {
  std::array<char, 40> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), x);
  return {buffer.data(), result.ptr};
}

std::string string_text(const std::string& text) {
  if (!needs_quotes(text)) return text;
  std::string out = "\"";
  for (const char c : text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\', out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x", out += kHex[byte >> 4], out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string value_text(const Value& value) {
  struct Writer {
    std::string operator()(bool x) const { return x ? "true" : "false"; }
    std::string operator()(int64_t x) const { return std::to_string(x); }
    std::string operator()(double x) const { return float_text(x); }
    std::string operator()(const std::string& x) const { return string_text(x); }
    std::string operator()(const std::vector<double>& x) const { return list_text(x, float_text); }
    std::string operator()(const std::vector<std::string>& x) const {
      return list_text(x, string_text);
    }
  };
  return std::visit(Writer{}, value);
}

std::string shown(const Node& node) {
  if (node.is_null()) return "null";
  if (node.is_list()) return "a list of " + std::to_string(node.items.size());
  if (node.is_map()) return "a map";
  return (node.quoted ? "the string '" : "'") + node.text + "'";
}

}  // namespace moiety::config
