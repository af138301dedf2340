// One declaration per option serves parsing, defaults, ranges, errors, the docs and JSON Schema.
//
//   struct Options {
//     int64_t k = 2;
//     static void describe(Schema<Options>& s) {
//       s.field("k", &Options::k, "experts per token").range(1, 8);
//     }
//   };
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <moiety/error.h>

namespace moiety {

using Value =
    std::variant<bool, int64_t, double, std::string, std::vector<double>, std::vector<std::string>>;

/// What a value may be; the order is that of Value's alternatives.
enum class OptionType : uint8_t { kBool, kInt, kFloat, kString, kNumbers, kStrings };

struct OptionSpec {
  std::string name, doc;
  OptionType type = OptionType::kBool;
  Value fallback;                    // the default; with `required`, an example that works
  double min = -1e300, max = 1e300;  // of numbers, and of every number of a list
  std::vector<std::string> choices;  // of strings; empty = any
  int64_t length = -1;               // of lists; -1 = any
  bool required = false;
};

/// Validated by the core and complete (every option, in the schema's order) when a plugin sees it.
using OptionMap = std::vector<std::pair<std::string, Value>>;

template <class P>
class Schema {
 public:
  Schema(P* target, const OptionMap* in, std::vector<OptionSpec>* out)
      : target_(target), in_(in), out_(out) {}

  /// Refines the option just declared.
  class Ref {
   public:
    Ref(std::vector<OptionSpec>* specs) : specs_(specs) {}  // NOLINT: made by field() alone
    Ref range(double min, double max) {
      if (specs_ != nullptr) specs_->back().min = min, specs_->back().max = max;
      return *this;
    }
    Ref one_of(std::vector<std::string> choices) {
      if (specs_ != nullptr) specs_->back().choices = std::move(choices);
      return *this;
    }
    Ref length(int64_t n) {
      if (specs_ != nullptr) specs_->back().length = n;
      return *this;
    }
    /// Makes the option required; `value` is one that works, for the conformance kit.
    Ref example(const Value& value) {
      if (specs_ != nullptr) {
        specs_->back().required = true;
        specs_->back().fallback = value;
      }
      return *this;
    }

   private:
    std::vector<OptionSpec>* specs_;
  };

  /// T: bool, an integer, a float, std::string, std::vector<double>, std::vector<std::string>.
  template <class T>
  Ref field(const char* name, T P::*member, const char* doc) {
    if (in_ != nullptr) {
      for (const auto& [key, value] : *in_) {
        if (key == name) target_->*member = cast<T>(name, value);
      }
    }
    if (out_ == nullptr) return Ref(nullptr);
    Value fallback = lift(target_->*member);
    const auto type = static_cast<OptionType>(fallback.index());
    OptionSpec spec;
    spec.name = name, spec.doc = doc, spec.type = type, spec.fallback = std::move(fallback);
    out_->push_back(std::move(spec));
    return Ref(out_);
  }

 private:
  template <class T>
  static T cast(const char* name, const Value& value) {
    return std::visit(
        [name](const auto& x) -> T {
          using X = std::decay_t<decltype(x)>;
          if constexpr (std::is_same_v<X, T>) return x;
          if constexpr (std::is_arithmetic_v<X> && std::is_arithmetic_v<T>) {
            return static_cast<T>(x);
          }
          throw ConfigError(std::string("option ") + name + " has another type");
        },
        value);
  }
  template <class T>
  static Value lift(const T& x) {
    if constexpr (std::is_same_v<T, bool>) return Value(x);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) return Value(int64_t{x});
    if constexpr (std::is_floating_point_v<T>) {
      // 0.1f is shown as 0.1, not as 0.10000000149011612.
      if constexpr (std::is_same_v<T, float>) return Value(std::stod(short_text(x)));
      return Value(double{x});
    }
    if constexpr (!std::is_arithmetic_v<T>) return Value(x);
  }
  static std::string short_text(float x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", static_cast<double>(x));
    return text;
  }

  P* target_;
  const OptionMap* in_;
  std::vector<OptionSpec>* out_;
};

}  // namespace moiety
