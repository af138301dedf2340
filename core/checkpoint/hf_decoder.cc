// Llama's layout.
#include "core/checkpoint/hf_decoder.h"

#include "core/base/check.h"

namespace moiety::hf {

Decoder::Decoder(const Settings& c)
    : layers(c.integer("num_hidden_layers")),
      hidden(c.integer("hidden_size")),
      inner(c.integer("intermediate_size")),
      heads(c.integer("num_attention_heads")),
      kv_heads(c.integer("num_key_value_heads", heads)),
      head(c.integer("head_dim", hidden / heads)),
      vocab(c.integer("vocab_size")),
      length(c.integer("max_position_embeddings")),
      tied(c.boolean("tie_word_embeddings", false)) {
  c.require(c.text("hidden_act", "silu") == "silu", "hidden_act", "expected silu");
  c.require(!c.boolean("attention_bias", false), "attention_bias", "expected false");
  c.require(!c.boolean("mlp_bias", false), "mlp_bias", "expected false");
  const bool windowed = c.boolean("use_sliding_window", true);
  c.require(!windowed || c.integer("sliding_window", length) >= length, "sliding_window",
            "expected null, or at least max_position_embeddings");
  if (const Json* types = c.find("layer_types")) {
    for (const Json& type : types->array()) {
      c.require(type.string() == "full_attention", "layer_types", "expected full_attention alone");
    }
  }
}

std::string to_layer(int64_t n) { return fmt::format("layers.{}.", n); }
std::string from_layer(int64_t n) { return fmt::format("model.layers.{}.", n); }

void Bindings::vector(std::string name, std::string hf, int64_t width, Role role) {
  out_.push_back({std::move(name), {width}, role, {{{std::move(hf), {width}, false}}}});
}

void Bindings::linear(std::string name, std::string hf, int64_t in, int64_t out) {
  out_.push_back(
      {std::move(name), {in, out}, Role::kParameter, {{{std::move(hf), {out, in}, true}}}});
}

std::vector<Piece> Bindings::gate_and_up(const std::string& from, int64_t inner,
                                         const Names& names) const {
  return {{from + names.gate + ".weight", {inner, s_.hidden}, true},
          {from + names.up + ".weight", {inner, s_.hidden}, true}};
}

void Bindings::gated(const std::string& to, const std::string& from, int64_t inner,
                     const Names& names) {
  out_.push_back(
      {to + "w_in", {1, s_.hidden, 2, inner}, Role::kParameter, {gate_and_up(from, inner, names)}});
  out_.push_back({to + "w_out",
                  {1, inner, s_.hidden},
                  Role::kParameter,
                  {{{from + names.down + ".weight", {s_.hidden, inner}, true}}}});
}

void Bindings::add_ends() {
  out_.push_back({"embedding.token",
                  {s_.vocab, s_.hidden},
                  Role::kParameter,
                  {{{"model.embed_tokens.weight", {s_.vocab, s_.hidden}, false}}}});
  vector("final_norm.weight", "model.norm.weight", s_.hidden);
  if (!s_.tied) linear("head.weight", "lm_head.weight", s_.hidden, s_.vocab);
}

void Bindings::add_norms(int64_t n) {
  vector(to_layer(n) + "attention_norm.weight", from_layer(n) + "input_layernorm.weight",
         s_.hidden);
  vector(to_layer(n) + "ffn_norm.weight", from_layer(n) + "post_attention_layernorm.weight",
         s_.hidden);
}

void Bindings::add_attention(int64_t n) {
  const std::string from = from_layer(n) + "self_attn.";
  const int64_t q = s_.heads * s_.head, kv = s_.kv_heads * s_.head;
  out_.push_back({to_layer(n) + "attention.qkv.weight",
                  {s_.hidden, q + 2 * kv},
                  Role::kParameter,
                  {{{from + "q_proj.weight", {q, s_.hidden}, true},
                    {from + "k_proj.weight", {kv, s_.hidden}, true},
                    {from + "v_proj.weight", {kv, s_.hidden}, true}}}});
  linear(to_layer(n) + "attention.out.weight", from + "o_proj.weight", q, s_.hidden);
}

void Bindings::add_qk_norm(int64_t n, int64_t q, int64_t k) {
  const std::string from = from_layer(n) + "self_attn.", to = to_layer(n) + "attention.";
  vector(to + "q_norm.weight", from + "q_norm.weight", q);
  vector(to + "k_norm.weight", from + "k_norm.weight", k);
}

void Bindings::add_dense(int64_t n, int64_t inner) {
  gated(to_layer(n) + "ffn.", from_layer(n) + "mlp.", inner, {});
}

void Bindings::add_experts(int64_t n, const std::string& from, int64_t experts, int64_t inner,
                           const Names& names) {
  const std::string to = to_layer(n) + "moe.";
  linear(to + "router.weight", from + "gate.weight", s_.hidden, experts);
  Binding in{to + "experts.w_in", {experts, s_.hidden, 2, inner}, Role::kExpert, {}};
  Binding back{to + "experts.w_out", {experts, inner, s_.hidden}, Role::kExpert, {}};
  for (int64_t e = 0; e < experts; ++e) {
    const std::string expert = fmt::format("{}experts.{}.", from, e);
    in.slices.push_back(gate_and_up(expert, inner, names));
    back.slices.push_back({{expert + names.down + ".weight", {s_.hidden, inner}, true}});
  }
  out_.push_back(std::move(in));
  out_.push_back(std::move(back));
}

std::string decoder_yaml(const Decoder& s, const Settings& config, double theta, double eps) {
  return fmt::format(
      "model:\n  type: gpt\n  layers: {}\n  hidden: {}\n  heads: {}\n  ffn_hidden: {}\n"
      "  vocab_size: {}\n  sequence_length: {}\n  norm: rmsnorm\n  norm_eps: {}\n"
      "  activation: swiglu\n  positions: rope\n{}  tie_embeddings: {}\n  bias: false\n"
      "  init_std: {}\n  dropout: 0\n  attention_dropout: {}\n",
      s.layers, s.hidden, s.heads, s.inner, s.vocab, s.length, config.number("rms_norm_eps", eps),
      rope_yaml(config, theta), s.tied, config.number("initializer_range", 0.02),
      config.number("attention_dropout", 0));
}

void expect(bool holds, Reasons& reasons, const std::string& text) {
  if (!holds) reasons.push_back(text);
}

Json decoder_config(const RunConfig& config, const char* model_type, const char* architecture,
                    Reasons& reasons) {
  const ModelConfig& m = config.model;
  expect(m.norm == "rmsnorm", reasons, "model.norm is " + m.norm + ", expected rmsnorm");
  expect(m.activation == "swiglu", reasons,
         "model.activation is " + m.activation + ", expected swiglu");
  expect(m.positions == "rope", reasons, "model.positions is " + m.positions + ", expected rope");
  expect(!m.bias, reasons, "model.bias is true, expected false");
  Json out = Json::Object{};
  out.set("architectures", Json::Array{architecture});
  out.set("attention_bias", false).set("attention_dropout", m.attention_dropout);
  out.set("head_dim", m.head_width()).set("hidden_act", "silu").set("hidden_size", m.hidden);
  out.set("initializer_range", m.init_std).set("intermediate_size", m.ffn_hidden);
  out.set("max_position_embeddings", m.sequence_length).set("model_type", model_type);
  out.set("num_attention_heads", m.heads).set("num_hidden_layers", m.layers);
  out.set("num_key_value_heads", m.kv_heads).set("rms_norm_eps", m.norm_eps);
  out.set("rope_parameters", rope_parameters(m)).set("tie_word_embeddings", m.tie_embeddings);
  out.set("vocab_size", m.vocab_size);
  return out;
}

}  // namespace moiety::hf
