// The flags of Megatron-DeepSpeed and of its launchers, as tables: one row says what a flag takes
// and what becomes of it. One file a topic, flags_<topic>.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config/import/imported.h"

namespace moiety::config {

/// A flag as it was given.
struct GivenFlag {
  std::string name;
  std::vector<std::string> values;

  std::string text() const;  ///< "--num-layers 24"
};

/// The flags of one launch line; the last of several of a name counts.
class GivenFlags {
 public:
  void add(GivenFlag flag);
  const std::vector<GivenFlag>& list() const { return list_; }
  const GivenFlag* find(const std::string& name) const;
  bool has(const std::string& name) const { return find(name) != nullptr; }
  /// The first value; `fallback` when the flag is not given or has none.
  std::string value(const std::string& name, const std::string& fallback = "") const;
  int64_t integer(const std::string& name, int64_t fallback) const;
  double number(const std::string& name, double fallback) const;

 private:
  std::vector<GivenFlag> list_;
};

/// What a rule sees.
struct FlagContext {
  const GivenFlags& given;
  Imported& out;
  int64_t world_size = 1;
};
using FlagRule = void (*)(const FlagContext&);

enum class Arity : uint8_t { kNone, kOne, kMany };

struct Flag {
  enum class Meaning : uint8_t {
    kKey,      // its value is that of `key`
    kSets,     // sets `key` to `text`
    kRule,     // `rule` deals with it, once for all flags that name the same one
    kNothing,  // changes nothing here; `text` says why
    kOnly,     // the same where its value is `key`; refused by `text` otherwise
    kRefused,  // `text` says why
  };
  const char* name;
  Arity arity;
  Meaning meaning;
  const char* key = "";
  const char* text = "";
  const char* note = "";  // a comment above the key
  FlagRule rule = nullptr;
};

// The rows.
constexpr Flag maps(const char* name, const char* key, const char* note = "") {
  return {name, Arity::kOne, Flag::Meaning::kKey, key, "", note};
}
constexpr Flag sets(const char* name, const char* key, const char* value, const char* note = "") {
  return {name, Arity::kNone, Flag::Meaning::kSets, key, value, note};
}
constexpr Flag part(const char* name, Arity arity, FlagRule rule) {
  return {name, arity, Flag::Meaning::kRule, "", "", "", rule};
}
constexpr Flag nothing(const char* name, Arity arity, const char* why) {
  return {name, arity, Flag::Meaning::kNothing, "", why};
}
constexpr Flag only(const char* name, const char* value, const char* needs) {
  return {name, Arity::kOne, Flag::Meaning::kOnly, value, needs};
}
constexpr Flag refused(const char* name, Arity arity, const char* why) {
  return {name, arity, Flag::Meaning::kRefused, "", why};
}

std::span<const Flag> launcher_flags();  // before the script's name
std::span<const Flag> model_flags();
std::span<const Flag> moe_flags();
std::span<const Flag> distillation_flags();
std::span<const Flag> optimizer_flags();
std::span<const Flag> training_flags();
std::span<const Flag> data_flags();
std::span<const Flag> run_flags();
std::span<const Flag> parallel_flags();

// Rules that hold where none of their flags is given too: Megatron's defaults differ from ours.
void set_schedule(const FlagContext& context);
void set_moe_layer(const FlagContext& context);
void set_vocabulary(const FlagContext& context);
void set_positions(const FlagContext& context);
void set_activation(const FlagContext& context);
void set_dropout(const FlagContext& context);
void set_optimizer(const FlagContext& context);

}  // namespace moiety::config
