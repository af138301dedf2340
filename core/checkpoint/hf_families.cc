// The families, and how one is found.
#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/hf_import.h"
#include "core/checkpoint/hf_mapping.h"

namespace moiety {

namespace hf {

const Json* Settings::find(const char* key) const {
  const Json* value = json_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}
int64_t Settings::integer(const char* key) const {
  const Json* value = find(key);
  MOIETY_CHECK(value != nullptr, "config.json: {} is missing", key);
  return value->integer();
}
int64_t Settings::integer(const char* key, int64_t fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->integer();
}
double Settings::number(const char* key, double fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->number();
}
bool Settings::boolean(const char* key, bool fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->boolean();
}
std::string Settings::text(const char* key, const char* fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->string();
}
void Settings::require(bool holds, const char* key, const char* what) const {
  const Json* value = find(key);
  MOIETY_CHECK(holds, "config.json: {} is {}: {}", key, value ? value->dump() : "missing", what);
}

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"gpt2", gpt2_bindings, gpt2_yaml, gpt2_config},
      {"llama", llama_bindings, llama_yaml, llama_config},
      {"qwen3", qwen3_bindings, qwen3_yaml, qwen3_config},
      {"mixtral", mixtral_bindings, mixtral_yaml, mixtral_config},
      {"olmoe", olmoe_bindings, olmoe_yaml, olmoe_config},
      {"qwen3_moe", qwen3_moe_bindings, qwen3_moe_yaml, qwen3_moe_config},
      {"deepseek_v3", deepseek_bindings, deepseek_yaml, deepseek_config}};
  return all;
}

static const Family& named(const std::string& type) {
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (type == family.model_type) return family;
    known.emplace_back(family.model_type);
  }
  throw Error(fmt::format("config.json: model_type '{}' is not known{}; known: {}", type,
                          did_you_mean(type, known), join(known, ", ")));
}

const Family& family_of(const Json& config) { return named(config.at("model_type").string()); }

const Family& family_of(const RunConfig& config) {
  const ModelConfig& m = config.model;
  if (m.attention == "mla") return named("deepseek_v3");
  if (m.norm == "layernorm") return named("gpt2");
  if (!config.moe.enabled) return named(m.qk_norm == "head" ? "qwen3" : "llama");
  return named(m.qk_norm == "head" ? "qwen3_moe" : m.qk_norm == "projection" ? "olmoe" : "mixtral");
}

}  // namespace hf

std::string hf_model_types() {
  std::vector<std::string> names;
  for (const hf::Family& family : hf::families()) names.emplace_back(family.model_type);
  return join(names, ", ");
}

}  // namespace moiety
