#include "core/config/keys.h"

#include <algorithm>
#include <utility>

namespace moiety::config {

std::string Key::section() const {
  const size_t dot = path().rfind('.');
  return dot == std::string::npos ? "" : path().substr(0, dot);
}

std::string Key::leaf() const {
  const size_t dot = path().rfind('.');
  return dot == std::string::npos ? path() : path().substr(dot + 1);
}

const Keys& Keys::all() {
  static const Keys keys = [] {
    Keys k;
    declare_run_keys(k);
    declare_model_keys(k);
    declare_moe_keys(k);
    declare_training_keys(k);
    declare_deepspeed_keys(k);
    return k;
  }();
  return keys;
}

const Key* Keys::find(std::string_view path) const {
  const auto it =
      std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.path() == path; });
  return it == keys_.end() ? nullptr : &*it;
}

const Key* Keys::find(std::string_view section, std::string_view name) const {
  const auto it = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) {
    if (k.section() != section) return false;
    return k.leaf() == name ||
           std::find(k.aliases.begin(), k.aliases.end(), name) != k.aliases.end();
  });
  return it == keys_.end() ? nullptr : &*it;
}

bool Keys::is_section(std::string_view path) const {
  const std::string inside = std::string(path) + ".";
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const Key& k) { return k.path().starts_with(inside); });
}

const Key* Keys::shorthand(std::string_view path) const {
  const auto it = std::find_if(keys_.begin(), keys_.end(),
                               [&](const Key& k) { return k.shorthand && k.section() == path; });
  return it == keys_.end() ? nullptr : &*it;
}

std::vector<std::string> Keys::children(std::string_view section) const {
  const std::string inside = section.empty() ? "" : std::string(section) + ".";
  std::vector<std::string> names;
  for (const Key& key : keys_) {
    if (!key.path().starts_with(inside)) continue;
    std::string name = key.path().substr(inside.size());
    name = name.substr(0, name.find('.'));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

Section<Inputs> Keys::inputs(std::string prefix) {
  return {*this, std::move(prefix), [](RunConfig&, Inputs& i) -> Inputs& { return i; }};
}

void Keys::component(std::string path, ComponentKind kind, std::string type, std::string doc,
                     std::function<ComponentChoice&(RunConfig&)> get) {
  Key key;
  key.role = KeyRole::kComponent;
  key.option.name = std::move(path);
  key.option.doc = std::move(doc);
  key.option.type = OptionType::kString;
  key.option.fallback = Value(std::move(type));
  key.kind = kind;
  key.choice = std::move(get);
  key.nullable = true;
  add(std::move(key));
}

void Keys::gate_option(std::string path, std::string option, OptionType type, std::string doc,
                       std::string alias) {
  Key key;
  key.role = KeyRole::kGateOption;
  key.option.name = std::move(path);
  key.option.doc = std::move(doc);
  key.option.type = type;
  key.gate_option = std::move(option);
  key.default_text = "the gate's";
  if (!alias.empty()) key.aliases.push_back(std::move(alias));
  add(std::move(key));
}

void Keys::accepted(std::string path, Value example, std::string reason) {
  Key key;
  key.role = KeyRole::kAccepted;
  key.option.name = std::move(path);
  key.option.type = static_cast<OptionType>(example.index());
  key.option.fallback = std::move(example);
  key.reason = std::move(reason);
  key.nullable = true;
  add(std::move(key));
}

void Keys::later(std::string path, std::string feature, std::vector<std::string> off) {
  Key key;
  key.role = KeyRole::kLater;
  key.option.name = std::move(path);
  key.reason = std::move(feature);
  key.off = std::move(off);
  add(std::move(key));
}

Key& Keys::add(Key key) {
  keys_.push_back(std::move(key));
  return keys_.back();
}

KeyRef KeyRef::range(double min, double max) {
  key_.option.min = min, key_.option.max = max;
  return *this;
}
KeyRef KeyRef::at_least(double min) {
  key_.option.min = min;
  return *this;
}
KeyRef KeyRef::one_of(std::vector<std::string> choices) {
  key_.option.choices = std::move(choices);
  return *this;
}
KeyRef KeyRef::alias(std::string name) {
  key_.aliases.push_back(std::move(name));
  return *this;
}
KeyRef KeyRef::derived(std::string text, std::function<void(RunConfig&)> fn) {
  key_.default_text = std::move(text);
  key_.derive = [fn = std::move(fn)](Draft& d) { fn(d.config); };
  key_.nullable = true;
  return *this;
}
KeyRef KeyRef::default_text(std::string text) {
  key_.default_text = std::move(text);
  return *this;
}
KeyRef KeyRef::input() {
  key_.role = KeyRole::kInput;
  return *this;
}
KeyRef KeyRef::integers() {
  key_.rules.integers = true;
  return *this;
}
KeyRef KeyRef::single() {
  key_.rules.single = true;
  return *this;
}
KeyRef KeyRef::duration() {
  key_.rules.duration = true;
  return *this;
}
KeyRef KeyRef::later_choices(std::vector<std::string> names) {
  key_.later_choices = std::move(names);
  return *this;
}
KeyRef KeyRef::shorthand() {
  key_.shorthand = true;
  return *this;
}
KeyRef KeyRef::nullable() {
  key_.nullable = true;
  return *this;
}

}  // namespace moiety::config
