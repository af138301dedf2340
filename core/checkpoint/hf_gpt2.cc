// GPT-2 (transformers' GPT2LMHeadModel). Its Conv1D weights are [in, out] already.
#include <map>

#include "core/base/check.h"
#include "core/checkpoint/hf_mapping.h"

namespace moiety::hf {

namespace {

struct Sizes {
  int64_t layers, hidden, inner, positions, vocab;
  explicit Sizes(const Settings& c)
      : layers(c.integer("n_layer")),
        hidden(c.integer("n_embd")),
        inner(c.integer("n_inner", 4 * hidden)),
        positions(c.integer("n_positions")),
        vocab(c.integer("vocab_size")) {}
};

std::string activation_of(const Settings& config) {
  std::string name = config.text("activation_function", "gelu_new");
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return "gelu_tanh";
  config.require(name == "gelu" || name == "relu", "activation_function",
                 "expected gelu_new, gelu or relu");
  return name;
}

}  // namespace

std::vector<Binding> gpt2_bindings(const Settings& config) {
  const Sizes s(config);
  const int64_t d = s.hidden, h = s.inner;
  std::vector<Binding> out;
  const auto add = [&](std::string name, std::string hf, std::vector<int64_t> shape) {
    out.push_back({std::move(name),
                   shape,
                   Role::kParameter,
                   {{{std::move(hf), shape, /*transposed=*/false}}}});
  };
  // Dense layers are expert functions with one expert: [1, in, out].
  const auto add_one = [&](std::string name, std::string hf, std::vector<int64_t> shape) {
    add(std::move(name), std::move(hf), shape);
    out.back().shape.insert(out.back().shape.begin(), 1);
  };
  add("embedding.token", "transformer.wte.weight", {s.vocab, d});
  add("embedding.position", "transformer.wpe.weight", {s.positions, d});
  for (int64_t n = 0; n < s.layers; ++n) {
    const std::string to = fmt::format("layers.{}.", n), from = fmt::format("transformer.h.{}.", n);
    for (const char* part : {"weight", "bias"}) {
      const bool weight = std::string(part) == "weight";
      const auto shape = [&](int64_t in, int64_t columns) {
        return weight ? std::vector<int64_t>{in, columns} : std::vector<int64_t>{columns};
      };
      add(to + "attention_norm." + part, from + "ln_1." + part, {d});
      add(to + "attention.qkv." + part, from + "attn.c_attn." + part, shape(d, 3 * d));
      add(to + "attention.out." + part, from + "attn.c_proj." + part, shape(d, d));
      add(to + "ffn_norm." + part, from + "ln_2." + part, {d});
      add_one(to + (weight ? "ffn.w_in" : "ffn.b_in"), from + "mlp.c_fc." + part, shape(d, h));
      add_one(to + (weight ? "ffn.w_out" : "ffn.b_out"), from + "mlp.c_proj." + part, shape(h, d));
    }
  }
  add("final_norm.weight", "transformer.ln_f.weight", {d});
  add("final_norm.bias", "transformer.ln_f.bias", {d});
  return out;
}

std::string gpt2_yaml(const Settings& config) {
  const Sizes s(config);
  config.require(config.boolean("tie_word_embeddings", true), "tie_word_embeddings",
                 "expected true");
  config.require(!config.boolean("scale_attn_by_inverse_layer_idx", false),
                 "scale_attn_by_inverse_layer_idx", "expected false");
  config.require(config.boolean("scale_attn_weights", true), "scale_attn_weights", "expected true");
  config.require(!config.boolean("add_cross_attention", false), "add_cross_attention",
                 "expected false");
  const double dropout = config.number("resid_pdrop", 0.1);
  config.require(config.number("embd_pdrop", 0.1) == dropout, "embd_pdrop",
                 "expected the same as resid_pdrop");
  return fmt::format(
      "model:\n  type: gpt\n  layers: {}\n  hidden: {}\n  heads: {}\n  ffn_hidden: {}\n"
      "  vocab_size: {}\n  sequence_length: {}\n  norm: layernorm\n  norm_eps: {}\n"
      "  activation: {}\n  positions: learned\n  tie_embeddings: true\n  bias: true\n"
      "  init_std: {}\n  dropout: {}\n  attention_dropout: {}\n",
      s.layers, s.hidden, config.integer("n_head"), s.inner, s.vocab, s.positions,
      config.number("layer_norm_epsilon", 1e-5), activation_of(config),
      config.number("initializer_range", 0.02), dropout, config.number("attn_pdrop", 0.1));
}

Json gpt2_config(const RunConfig& config, Reasons& reasons) {
  const ModelConfig& m = config.model;
  const auto expect = [&](bool holds, const std::string& text) {
    if (!holds) reasons.push_back(text);
  };
  const std::map<std::string, std::string> activations = {
      {"gelu_tanh", "gelu_new"}, {"gelu", "gelu"}, {"relu", "relu"}};
  expect(!config.moe.enabled, "there are MoE layers");
  expect(m.positions == "learned", "model.positions is " + m.positions + ", expected learned");
  expect(m.bias, "model.bias is false, expected true");
  expect(m.tie_embeddings, "model.tie_embeddings is false, expected true");
  expect(m.kv_heads == m.heads, "model.kv_heads differs from model.heads");
  expect(m.head_width() * m.heads == m.hidden, "model.head_dim is not hidden / heads");
  expect(m.qk_norm == "none", "model.qk_norm is " + m.qk_norm + ", expected none");
  expect(activations.count(m.activation) != 0,
         "model.activation is " + m.activation + ", expected gelu_tanh, gelu or relu");
  if (!reasons.empty()) return {};
  Json out = Json::Object{};
  out.set("activation_function", activations.at(m.activation));
  out.set("architectures", Json::Array{"GPT2LMHeadModel"});
  out.set("attn_pdrop", m.attention_dropout).set("embd_pdrop", m.dropout);
  out.set("initializer_range", m.init_std).set("layer_norm_epsilon", m.norm_eps);
  out.set("model_type", "gpt2").set("n_embd", m.hidden).set("n_head", m.heads);
  out.set("n_inner", m.ffn_hidden).set("n_layer", m.layers).set("n_positions", m.sequence_length);
  out.set("resid_pdrop", m.dropout).set("tie_word_embeddings", true);
  return out.set("vocab_size", m.vocab_size);
}

}  // namespace moiety::hf
