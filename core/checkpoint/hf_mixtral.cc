// Mixtral (transformers' MixtralForCausalLM). Its Linear weights are [out, in].
#include "core/base/check.h"
#include "core/checkpoint/hf_mapping.h"
#include "core/checkpoint/shapes.h"

namespace moiety::hf {

namespace {

struct Sizes {
  int64_t layers, hidden, inner, heads, kv_heads, head, experts, vocab;
  explicit Sizes(const Settings& c)
      : layers(c.integer("num_hidden_layers")),
        hidden(c.integer("hidden_size")),
        inner(c.integer("intermediate_size")),
        heads(c.integer("num_attention_heads")),
        kv_heads(c.integer("num_key_value_heads", heads)),
        head(c.integer("head_dim", hidden / heads)),
        experts(c.integer("num_local_experts")),
        vocab(c.integer("vocab_size")) {
    c.require(head * heads == hidden, "head_dim", "expected hidden_size / num_attention_heads");
  }
};

class Mapping {
 public:
  Mapping(const Sizes& sizes, const HfReader& read) : s_(sizes), read_(read) {}

  std::vector<NamedTensor> map() {
    vector("final_norm.weight", "model.norm.weight");
    out_.push_back({"embedding.token",
                    {s_.vocab, s_.hidden},
                    false,
                    read_({"model.embed_tokens.weight", {s_.vocab, s_.hidden}})});
    linear("head.weight", "lm_head.weight", s_.hidden, s_.vocab);
    for (int64_t n = 0; n < s_.layers; ++n) layer(n);
    return std::move(out_);
  }

 private:
  void layer(int64_t n) {
    const std::string to = fmt::format("layers.{}.", n), from = fmt::format("model.layers.{}.", n);
    vector(to + "attention_norm.weight", from + "input_layernorm.weight");
    vector(to + "ffn_norm.weight", from + "post_attention_layernorm.weight");
    attention(to, from + "self_attn.");
    linear(to + "attention.out.weight", from + "self_attn.o_proj.weight", s_.hidden, s_.hidden);
    const std::string moe = from + "block_sparse_moe.";
    linear(to + "moe.router.weight", moe + "gate.weight", s_.hidden, s_.experts);
    experts(to + "moe.experts.", moe + "experts.");
  }

  /// One product for queries, keys and values: [D, (Hq + 2 Hkv) * hd].
  void attention(const std::string& to, const std::string& from) {
    const int64_t kv = s_.kv_heads * s_.head, columns = s_.hidden + 2 * kv;
    std::vector<float> rows = read_({from + "q_proj.weight", {s_.hidden, s_.hidden}});
    for (const char* name : {"k_proj.weight", "v_proj.weight"}) {
      const std::vector<float> more = read_({from + name, {kv, s_.hidden}});
      rows.insert(rows.end(), more.begin(), more.end());
    }
    out_.push_back({to + "attention.qkv.weight",
                    {s_.hidden, columns},
                    false,
                    transposed(rows, columns, s_.hidden)});
  }

  /// w1 is the gate, w3 the up projection, w2 the way down; w_in is [E, D, 2, H], gate first.
  void experts(const std::string& to, const std::string& from) {
    const int64_t d = s_.hidden, h = s_.inner;
    NamedTensor in{to + "w_in", {s_.experts, d, 2, h}, true, {}};
    NamedTensor back{to + "w_out", {s_.experts, h, d}, true, {}};
    for (int64_t e = 0; e < s_.experts; ++e) {
      const std::string expert = from + std::to_string(e);
      std::vector<float> both = read_({expert + ".w1.weight", {h, d}});
      const std::vector<float> up = read_({expert + ".w3.weight", {h, d}});
      both.insert(both.end(), up.begin(), up.end());  // [2 H, D]
      append(in.values, transposed(both, 2 * h, d));
      append(back.values, transposed(read_({expert + ".w2.weight", {d, h}}), d, h));
    }
    out_.push_back(std::move(in));
    out_.push_back(std::move(back));
  }

  void vector(std::string name, std::string hf) {
    out_.push_back({std::move(name), {s_.hidden}, false, read_({std::move(hf), {s_.hidden}})});
  }
  void linear(std::string name, std::string hf, int64_t in, int64_t columns) {
    out_.push_back({std::move(name),
                    {in, columns},
                    false,
                    transposed(read_({std::move(hf), {columns, in}}), columns, in)});
  }
  static void append(std::vector<float>& to, const std::vector<float>& from) {
    to.insert(to.end(), from.begin(), from.end());
  }

  const Sizes& s_;
  const HfReader& read_;
  std::vector<NamedTensor> out_;
};

/// At the top, or since transformers 5 among rope_parameters. Scaled variants are refused.
double rope_theta(const Settings& config) {
  const Json* rope = config.find("rope_parameters");
  if (rope == nullptr) rope = config.find("rope_scaling");
  if (rope == nullptr) return config.number("rope_theta", 1e6);
  const Settings inner(*rope);
  inner.require(inner.text("rope_type", "default") == "default", "rope_type",
                "expected default (no scaling of positions)");
  return inner.number("rope_theta", config.number("rope_theta", 1e6));
}

}  // namespace

std::vector<NamedTensor> map_mixtral(const Settings& config, const HfReader& read) {
  const Sizes sizes(config);
  return Mapping(sizes, read).map();
}

std::string mixtral_yaml(const Settings& config) {
  const Sizes s(config);
  config.require(config.text("hidden_act", "silu") == "silu", "hidden_act", "expected silu");
  config.require(!config.boolean("tie_word_embeddings", false), "tie_word_embeddings",
                 "expected false");
  config.require(config.number("router_jitter_noise", 0) == 0, "router_jitter_noise", "expected 0");
  const int64_t length = config.integer("max_position_embeddings");
  config.require(config.integer("sliding_window", length) >= length, "sliding_window",
                 "expected null, or at least max_position_embeddings");
  return fmt::format(
      "model:\n  type: gpt\n  layers: {0}\n  hidden: {1}\n  heads: {2}\n  kv_heads: {3}\n"
      "  ffn_hidden: {4}\n  vocab_size: {5}\n  sequence_length: {6}\n  norm: rmsnorm\n"
      "  norm_eps: {7}\n  activation: swiglu\n  positions: rope\n  rope_theta: {8}\n"
      "  tie_embeddings: false\n  bias: false\n  init_std: {9}\n  dropout: 0\n"
      "  attention_dropout: {10}\n"
      "moe:\n  enabled: true\n  num_experts: {11}\n  expert_interval: 1\n  hidden: {4}\n"
      "  drop_tokens: false\n  k: {12}\n  gate:\n    type: topk\n  expert:\n    type: swiglu\n"
      "  moe_loss_coeff: 0\n  balance_loss_coeff: {13}\n  balance_scope: model\n",
      s.layers, s.hidden, s.heads, s.kv_heads, s.inner, s.vocab, length,
      config.number("rms_norm_eps", 1e-5), rope_theta(config),
      config.number("initializer_range", 0.02), config.number("attention_dropout", 0), s.experts,
      config.integer("num_experts_per_tok"), config.number("router_aux_loss_coef", 0.001));
}

}  // namespace moiety::hf
