// Rotary positions and their scaling, in both directions.
#include "core/base/check.h"
#include "core/checkpoint/hf_decoder.h"

namespace moiety::hf {

namespace {

/// A number of rope_parameters, which has the same name in Moiety.
struct Number {
  const char* key;
  double RopeScaling::*member;
  double fallback;  // where the reference leaves it out
};

constexpr Number kLlama3[] = {{"low_freq_factor", &RopeScaling::low_freq_factor, 1},
                              {"high_freq_factor", &RopeScaling::high_freq_factor, 4}};
constexpr Number kYarn[] = {{"beta_fast", &RopeScaling::beta_fast, 32},
                            {"beta_slow", &RopeScaling::beta_slow, 1},
                            {"mscale", &RopeScaling::mscale, 0},
                            {"mscale_all_dim", &RopeScaling::mscale_all_dim, 0}};

std::vector<Number> numbers_of(const std::string& type) {
  if (type == "llama3") return {std::begin(kLlama3), std::end(kLlama3)};
  if (type == "yarn") return {std::begin(kYarn), std::end(kYarn)};
  return {};
}

}  // namespace

std::string rope_yaml(const Settings& config, double theta) {
  const double top = config.number("rope_theta", theta);
  const Json* json = config.find("rope_parameters");
  if (json == nullptr) json = config.find("rope_scaling");
  if (json == nullptr) return fmt::format("  rope_theta: {}\n", top);
  const Settings rope(*json);
  const std::string type = rope.text("rope_type", rope.text("type", "default").c_str());
  std::string out = fmt::format("  rope_theta: {}\n", rope.number("rope_theta", top));
  rope.require(rope.number("partial_rotary_factor", 1) == 1, "partial_rotary_factor", "expected 1");
  if (type == "default") return out;
  rope.require(type == "linear" || type == "llama3" || type == "yarn", "rope_type",
               "expected default, linear, llama3 or yarn");
  rope.require(rope.find("attention_factor") == nullptr, "attention_factor", "expected null");
  rope.require(rope.boolean("truncate", true), "truncate", "expected true");
  const int64_t length =
      rope.integer("original_max_position_embeddings", config.integer("max_position_embeddings"));
  out += fmt::format("  rope_scaling:\n    type: {}\n    factor: {}\n    original_length: {}\n",
                     type, rope.number("factor", 1), length);
  for (const Number& n : numbers_of(type)) {
    out += fmt::format("    {}: {}\n", n.key, rope.number(n.key, n.fallback));
  }
  return out;
}

Json rope_parameters(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  Json out = Json::Object{};
  out.set("rope_theta", config.rope_theta);
  if (scaling.type == "none") return out.set("rope_type", "default");
  out.set("rope_type", scaling.type).set("factor", scaling.factor);
  out.set("original_max_position_embeddings", scaling.original_length);
  for (const Number& n : numbers_of(scaling.type)) {
    const double value = scaling.*n.member;
    if (value != 0) out.set(n.key, value);
  }
  return out;
}

}  // namespace moiety::hf
