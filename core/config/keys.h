// Every key of the file, declared once: parsing, defaults, errors, JSON Schema, docs/config.md and
// the resolved YAML all come from these declarations.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <moiety/component.h>
#include <moiety/options.h>

#include "core/config/draft.h"
#include "core/config/read_value.h"

namespace moiety::config {

enum class KeyRole : unsigned char {
  kValue,       // stored in RunConfig
  kInput,       // read, and resolved into other keys
  kComponent,   // {type, params} of a plugin
  kScheduler,   // {type, params} of the core's schedules
  kGateOption,  // a moe.* key that fills an option of the gate
  kAccepted,    // DeepSpeed's; changes nothing here, `reason` says why
  kLater,       // DeepSpeed's; refused unless switched off, `reason` names the feature
};

struct Key {
  OptionSpec option;  // option.name is the whole path
  ValueRules rules;
  KeyRole role = KeyRole::kValue;
  std::vector<std::string> aliases;        // other last parts of the path
  std::string default_text;                // of a default that follows from other keys
  std::string reason;                      // kAccepted, kLater
  std::vector<std::string> off;            // kLater: the values that are accepted
  std::vector<std::string> later_choices;  // kValue: refused by name
  std::string gate_option;                 // kGateOption
  ComponentKind kind{};                    // kComponent
  bool nullable = false;                   // null stands for the default
  bool shorthand = false;                  // a scalar in place of its section is its value

  std::function<void(Draft&, const Value&)> store;
  std::function<Value(const RunConfig&, const Inputs&)> value;
  std::function<void(Draft&)> derive;  // when not given, once all others are read
  std::function<ComponentChoice&(RunConfig&)> choice;

  const std::string& path() const { return option.name; }
  std::string section() const;  // "model" of "model.hidden"
  std::string leaf() const;
};

/// Converts between members of RunConfig and Value.
Value to_value(bool x);
Value to_value(int64_t x);
Value to_value(uint64_t x);
Value to_value(double x);
Value to_value(const std::string& x);
Value to_value(const std::filesystem::path& x);
Value to_value(const std::vector<std::string>& x);
Value to_value(const std::vector<int64_t>& x);
Value to_value(const std::vector<std::filesystem::path>& x);
void from_value(const Value& value, bool& x);
void from_value(const Value& value, int64_t& x);
void from_value(const Value& value, uint64_t& x);
void from_value(const Value& value, double& x);
void from_value(const Value& value, std::string& x);
void from_value(const Value& value, std::filesystem::path& x);
void from_value(const Value& value, std::vector<std::string>& x);
void from_value(const Value& value, std::vector<int64_t>& x);
void from_value(const Value& value, std::vector<std::filesystem::path>& x);

/// Refines the key just declared.
class KeyRef {
 public:
  explicit KeyRef(Key& key) : key_(key) {}
  KeyRef range(double min, double max);
  KeyRef at_least(double min);
  KeyRef one_of(std::vector<std::string> choices);
  KeyRef alias(std::string name);
  KeyRef derived(std::string text, std::function<void(RunConfig&)> fn);
  KeyRef default_text(std::string text);
  KeyRef input();
  KeyRef integers();
  KeyRef single();
  KeyRef duration();
  KeyRef nullable();
  KeyRef shorthand();
  KeyRef later_choices(std::vector<std::string> names);

 private:
  Key& key_;
};

template <class S>
class Section;

/// The declarations, in the order of the reference and of the resolved file.
class Keys {
 public:
  /// All of them, built once.
  static const Keys& all();

  const std::vector<Key>& list() const { return keys_; }
  const Key* find(std::string_view path) const;
  /// The key whose section is `section` and whose last part or alias is `name`.
  const Key* find(std::string_view section, std::string_view name) const;
  bool is_section(std::string_view path) const;
  /// The key that a scalar in place of the section `path` sets, or nullptr.
  const Key* shorthand(std::string_view path) const;
  /// Names that may stand directly inside a section ("" = the top).
  std::vector<std::string> children(std::string_view section) const;

  /// Keys of a struct that `get` finds in the configuration.
  template <class S>
  Section<S> section(std::string prefix, std::function<S&(RunConfig&)> get);
  Section<Inputs> inputs(std::string prefix);

  void component(std::string path, ComponentKind kind, std::string type, std::string doc,
                 std::function<ComponentChoice&(RunConfig&)> get);
  void gate_option(std::string path, std::string option, OptionType type, std::string doc,
                   std::string alias = "");
  void accepted(std::string path, Value example, std::string reason);
  /// `off`: the values that are accepted beside false, null and {enabled: false}.
  void later(std::string path, std::string feature, std::vector<std::string> off = {});

  Key& add(Key key);

 private:
  std::vector<Key> keys_;
};

/// Declares the keys of one struct.
template <class S>
class Section {
 public:
  using Get = std::function<S&(RunConfig&, Inputs&)>;
  Section(Keys& keys, std::string prefix, Get get)
      : keys_(keys), prefix_(std::move(prefix)), get_(std::move(get)) {}

  /// The default is the member's initial value.
  template <class T>
  KeyRef field(std::string_view name, T S::*member, std::string doc) {
    Key key = declare(name, std::move(doc), to_value(S{}.*member));
    key.store = [get = get_, member](Draft& d, const Value& value) {
      from_value(value, get(d.config, d.inputs).*member);
    };
    key.value = [get = get_, member](const RunConfig& c, const Inputs& i) {
      return to_value(get(const_cast<RunConfig&>(c), const_cast<Inputs&>(i)).*member);
    };
    return KeyRef(keys_.add(std::move(key)));
  }

  /// A member whose values have names.
  template <class T>
  KeyRef choice(std::string_view name, T S::*member, std::vector<std::pair<std::string, T>> names,
                std::string doc) {
    const auto name_of = [names](T x) {
      for (const auto& [text, value] : names) {
        if (value == x) return text;
      }
      return std::string();
    };
    Key key = declare(name, std::move(doc), Value(name_of(S{}.*member)));
    for (const auto& entry : names) key.option.choices.push_back(entry.first);
    key.store = [get = get_, member, names](Draft& d, const Value& value) {
      for (const auto& [text, x] : names) {
        if (text == std::get<std::string>(value)) get(d.config, d.inputs).*member = x;
      }
    };
    key.value = [get = get_, member, name_of](const RunConfig& c, const Inputs& i) {
      return Value(name_of(get(const_cast<RunConfig&>(c), const_cast<Inputs&>(i)).*member));
    };
    return KeyRef(keys_.add(std::move(key)));
  }

 private:
  Key declare(std::string_view name, std::string doc, Value fallback) const {
    Key key;
    key.option.name = child_path(prefix_, name);
    key.option.doc = std::move(doc);
    key.option.type = static_cast<OptionType>(fallback.index());
    key.option.fallback = std::move(fallback);
    return key;
  }

  Keys& keys_;
  std::string prefix_;
  Get get_;
};

template <class S>
Section<S> Keys::section(std::string prefix, std::function<S&(RunConfig&)> get) {
  return {*this, std::move(prefix),
          [get = std::move(get)](RunConfig& c, Inputs&) -> S& { return get(c); }};
}

// One file each: keys_<name>.cc.
void declare_run_keys(Keys& keys);
void declare_model_keys(Keys& keys);
void declare_moe_keys(Keys& keys);
void declare_training_keys(Keys& keys);
void declare_deepspeed_keys(Keys& keys);

}  // namespace moiety::config
