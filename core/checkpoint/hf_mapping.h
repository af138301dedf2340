// What each model family provides: where each of Moiety's tensors lies in its files, and the
// configuration in both directions. One description serves import, export and the parity tests.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/config/run_config.h"

namespace moiety::hf {

/// A tensor of the reference. Seen from Moiety it is a matrix: [out, in] of a Linear transposed to
/// [in, out], others as they are; a vector is one row.
struct Piece {
  std::string name;
  std::vector<int64_t> shape;  // in the file
  bool transposed = false;
  int64_t rows() const { return shape.size() < 2 ? 1 : shape[transposed ? 1 : 0]; }
  int64_t columns() const { return shape.size() < 2 ? shape[0] : shape[transposed ? 0 : 1]; }
  int64_t elements() const { return rows() * columns(); }
};

enum class Role : uint8_t { kParameter, kExpert, kBuffer };

/// One tensor of Moiety's. Of an expert tensor each slice of axis 0 has its own pieces, else there
/// is one slice. Pieces of a slice lie side by side along the columns.
struct Binding {
  std::string name;
  std::vector<int64_t> shape;
  Role role = Role::kParameter;
  std::vector<std::vector<Piece>> slices;
};

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

/// The reasons why a configuration cannot be written as a family's config.json.
using Reasons = std::vector<std::string>;

struct Family {
  const char* model_type;
  std::vector<Binding> (*bindings)(const Settings&);
  std::string (*yaml)(const Settings&);
  /// config.json of a configuration; what the family does not have is added to the reasons.
  Json (*config)(const RunConfig&, Reasons&);
};

const std::vector<Family>& families();
/// The one that config.json names. Throws Error listing all.
const Family& family_of(const Json& config);
/// The family whose model this configuration describes.
const Family& family_of(const RunConfig& config);

// hf_gpt2.cc
std::vector<Binding> gpt2_bindings(const Settings& config);
std::string gpt2_yaml(const Settings& config);
Json gpt2_config(const RunConfig& config, Reasons& reasons);
// hf_llama.cc: llama, qwen3
std::vector<Binding> llama_bindings(const Settings& config);
std::string llama_yaml(const Settings& config);
Json llama_config(const RunConfig& config, Reasons& reasons);
std::vector<Binding> qwen3_bindings(const Settings& config);
std::string qwen3_yaml(const Settings& config);
Json qwen3_config(const RunConfig& config, Reasons& reasons);
// hf_moe.cc: mixtral, olmoe, qwen3_moe
std::vector<Binding> mixtral_bindings(const Settings& config);
std::string mixtral_yaml(const Settings& config);
Json mixtral_config(const RunConfig& config, Reasons& reasons);
std::vector<Binding> olmoe_bindings(const Settings& config);
std::string olmoe_yaml(const Settings& config);
Json olmoe_config(const RunConfig& config, Reasons& reasons);
std::vector<Binding> qwen3_moe_bindings(const Settings& config);
std::string qwen3_moe_yaml(const Settings& config);
Json qwen3_moe_config(const RunConfig& config, Reasons& reasons);
// hf_deepseek.cc
std::vector<Binding> deepseek_bindings(const Settings& config);
std::string deepseek_yaml(const Settings& config);
Json deepseek_config(const RunConfig& config, Reasons& reasons);

}  // namespace moiety::hf
