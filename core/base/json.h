// A JSON value: enough to write metrics and to read model configurations. nlohmann-json lives in
// json.cc alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <moiety/export.h>

namespace moiety {

class MOIETY_API Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // keeps the order

  Json() = default;
  template <class T>
  requires std::is_arithmetic_v<T> Json(T x) {  // NOLINT: reads as a number
    if constexpr (std::is_same_v<T, bool>) {
      value_ = x;
    } else if constexpr (std::is_integral_v<T>) {
      value_ = static_cast<int64_t>(x);
    } else {
      value_ = static_cast<double>(x);
    }
  }
  Json(std::string x) : value_(std::move(x)) {}    // NOLINT
  Json(const char* x) : value_(std::string(x)) {}  // NOLINT
  Json(Array x) : value_(std::move(x)) {}          // NOLINT
  Json(Object x) : value_(std::move(x)) {}         // NOLINT

  /// Throws Error with the position on bad input.
  static Json parse(std::string_view text);
  /// One line, or indented. NaN and infinities become null.
  std::string dump(int indent = -1) const;

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_number() const;
  bool is_integer() const;
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  // Each throws Error when the value is something else.
  bool boolean() const;
  int64_t integer() const;
  double number() const;
  const std::string& string() const;
  const Array& array() const;
  const Object& object() const;
  /// The member, or nullptr.
  const Json* find(std::string_view key) const;
  const Json& at(std::string_view key) const;  ///< throws Error naming the key
  /// Adds or replaces a member (of null or an object).
  Json& set(std::string_view key, Json value);
  Json& push(Json value);

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

}  // namespace moiety
