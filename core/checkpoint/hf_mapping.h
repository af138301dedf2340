// What each model family provides: its tensors in Moiety's layout, and its configuration.
#pragma once

#include <cstdint>

#include "core/checkpoint/hf_import.h"

namespace moiety::hf {

/// Reads config.json and says what is missing in it.
class Settings {
 public:
  explicit Settings(const Json& json) : json_(json) {}
  int64_t integer(const char* key) const;
  /// The number, or `fallback` where the key is missing or null.
  int64_t integer(const char* key, int64_t fallback) const;
  double number(const char* key, double fallback) const;
  bool boolean(const char* key, bool fallback) const;
  std::string text(const char* key, const char* fallback) const;
  const Json* find(const char* key) const;  ///< nullptr when missing or null
  /// Throws unless the setting has the one value that Moiety's model computes.
  void require(bool holds, const char* key, const char* what) const;

 private:
  const Json& json_;
};

std::vector<NamedTensor> map_gpt2(const Settings& config, const HfReader& read);
std::string gpt2_yaml(const Settings& config);
std::vector<NamedTensor> map_mixtral(const Settings& config, const HfReader& read);
std::string mixtral_yaml(const Settings& config);

}  // namespace moiety::hf
