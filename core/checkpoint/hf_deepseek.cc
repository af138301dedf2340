// DeepSeek-V3 (transformers' DeepseekV3ForCausalLM): latent attention, dense layers first, experts
// beside a shared one, a router of sigmoid scores with a correction bias.
#include "core/base/check.h"
#include "core/checkpoint/hf_decoder.h"
#include "core/checkpoint/hf_moe.h"

namespace moiety::hf {

namespace {

struct Latent {
  int64_t q_rank, kv_rank, nope, rope, value;
  explicit Latent(const Settings& c)
      : q_rank(c.integer("q_lora_rank", 0)),
        kv_rank(c.integer("kv_lora_rank")),
        nope(c.integer("qk_nope_head_dim")),
        rope(c.integer("qk_rope_head_dim")),
        value(c.integer("v_head_dim")) {}
};

void add_latent_attention(Bindings& out, const Decoder& s, const Latent& a, int64_t n) {
  const std::string to = to_layer(n) + "attention.", from = from_layer(n) + "self_attn.";
  const int64_t q = s.heads * (a.nope + a.rope);
  if (a.q_rank > 0) {
    out.linear(to + "q_down.weight", from + "q_a_proj.weight", s.hidden, a.q_rank);
    out.vector(to + "q_latent_norm.weight", from + "q_a_layernorm.weight", a.q_rank);
    out.linear(to + "q_up.weight", from + "q_b_proj.weight", a.q_rank, q);
  } else {
    out.linear(to + "q.weight", from + "q_proj.weight", s.hidden, q);
  }
  out.linear(to + "kv_down.weight", from + "kv_a_proj_with_mqa.weight", s.hidden,
             a.kv_rank + a.rope);
  out.vector(to + "kv_latent_norm.weight", from + "kv_a_layernorm.weight", a.kv_rank);
  out.linear(to + "kv_up.weight", from + "kv_b_proj.weight", a.kv_rank,
             s.heads * (a.nope + a.value));
  out.linear(to + "out.weight", from + "o_proj.weight", s.heads * a.value, s.hidden);
}

int64_t shared_width(const Settings& config) {
  return config.integer("n_shared_experts", 0) * config.integer("moe_intermediate_size");
}

int64_t integer_option(const MoeConfig& moe, const char* name) {
  const Value* value = find_option(moe.gate.options, name);
  return value == nullptr ? 0 : std::get<int64_t>(*value);
}

}  // namespace

std::vector<Binding> deepseek_bindings(const Settings& config) {
  const Decoder s(config);
  const Latent latent(config);
  const int64_t experts = config.integer("n_routed_experts");
  Bindings out(s);
  out.add_ends();
  for (int64_t n = 0; n < s.layers; ++n) {
    out.add_norms(n);
    add_latent_attention(out, s, latent, n);
    if (n < config.integer("first_k_dense_replace")) {
      out.add_dense(n, s.inner);
      continue;
    }
    const std::string moe = from_layer(n) + "mlp.";
    out.add_experts(n, moe, experts, config.integer("moe_intermediate_size"), {});
    out.vector(to_layer(n) + "moe.gate.correction_bias", moe + "gate.e_score_correction_bias",
               experts, Role::kBuffer);
    if (shared_width(config) > 0) {
      out.gated(to_layer(n) + "moe.dense.", moe + "shared_experts.", shared_width(config), {});
    }
  }
  return out.take();
}

std::string deepseek_yaml(const Settings& config) {
  const Decoder s(config);
  const Latent a(config);
  config.require(config.text("scoring_func", "sigmoid") == "sigmoid", "scoring_func",
                 "expected sigmoid");
  config.require(config.text("topk_method", "noaux_tc") == "noaux_tc", "topk_method",
                 "expected noaux_tc");
  config.require(config.integer("moe_layer_freq", 1) == 1, "moe_layer_freq", "expected 1");
  std::vector<int64_t> sparse;
  for (int64_t n = config.integer("first_k_dense_replace"); n < s.layers; ++n) sparse.push_back(n);
  config.require(!sparse.empty(), "first_k_dense_replace", "no layer is left that has experts");
  std::string out = decoder_yaml(s, config, 10000, 1e-6);
  out += fmt::format(
      "  rope_interleaved: {}\n  attention: mla\n  mla:\n    q_lora_rank: {}\n"
      "    kv_lora_rank: {}\n    qk_nope_head_dim: {}\n    qk_rope_head_dim: {}\n"
      "    v_head_dim: {}\n",
      config.boolean("rope_interleave", true), a.q_rank, a.kv_rank, a.nope, a.rope, a.value);
  out += fmt::format("moe:\n  enabled: true\n  num_experts: {}\n  layers: [{}]\n  hidden: {}\n",
                     config.integer("n_routed_experts"), numbers_text(sparse),
                     config.integer("moe_intermediate_size"));
  if (shared_width(config) > 0) {
    out += fmt::format("  shared_expert:\n    hidden: {}\n", shared_width(config));
  }
  return out + fmt::format(
                   "  gate:\n    type: sigmoid_topk\n    params:\n      k: {}\n      n_group: {}\n"
                   "      topk_group: {}\n      norm_topk_prob: {}\n"
                   "      routed_scaling_factor: {}\n  expert:\n    type: swiglu\n"
                   "  moe_loss_coeff: 0\n",
                   config.integer("num_experts_per_tok"), config.integer("n_group", 1),
                   config.integer("topk_group", 1), config.boolean("norm_topk_prob", true),
                   config.number("routed_scaling_factor", 1));
}

Json deepseek_config(const RunConfig& config, Reasons& reasons) {
  Json out = decoder_config(config, "deepseek_v3", "DeepseekV3ForCausalLM", reasons);
  const ModelConfig& m = config.model;
  const MoeConfig& moe = config.moe;
  expect(moe.enabled, reasons, "there are no MoE layers");
  if (!moe.enabled) return out;
  expect_plain_experts(moe, reasons);
  expect(moe.gate.type == "sigmoid_topk", reasons,
         "moe.gate.type is " + moe.gate.type + ", expected sigmoid_topk");
  expect(!moe.shared_gate, reasons, "moe.shared_expert.gate is true, expected false");
  const int64_t first = moe.layers.at(0), shared = moe.shared_hidden;
  expect(m.layers - first == std::ssize(moe.layers), reasons,
         "the MoE layers are not all layers from the first one on (moe.layers)");
  expect(shared % moe.hidden == 0, reasons,
         "moe.shared_expert.hidden is no multiple of moe.hidden");
  const auto option = [&](const char* name) { return find_option(moe.gate.options, name); };
  if (const Value* drops = option("drop_tokens")) {
    expect(!std::get<bool>(*drops), reasons, "the gate drops tokens (drop_tokens)");
  }
  out.set("first_k_dense_replace", first).set("head_dim", m.mla.qk_rope_head_dim);
  out.set("kv_lora_rank", m.mla.kv_lora_rank).set("moe_intermediate_size", moe.hidden);
  out.set("n_group", integer_option(moe, "n_group"));
  out.set("n_routed_experts", moe.num_experts.at(0)).set("n_shared_experts", shared / moe.hidden);
  const Value* normalized = option("norm_topk_prob");
  out.set("norm_topk_prob", normalized != nullptr && std::get<bool>(*normalized));
  out.set("num_experts_per_tok", integer_option(moe, "k"));
  out.set("q_lora_rank", m.mla.q_lora_rank > 0 ? Json(m.mla.q_lora_rank) : Json());
  out.set("qk_nope_head_dim", m.mla.qk_nope_head_dim);
  out.set("qk_rope_head_dim", m.mla.qk_rope_head_dim);
  out.set("rope_interleave", m.rope_interleaved);
  const Value* factor = option("routed_scaling_factor");
  out.set("routed_scaling_factor", factor == nullptr ? 1.0 : std::get<double>(*factor));
  out.set("topk_group", integer_option(moe, "topk_group"));
  return out.set("v_head_dim", m.mla.v_head_dim);
}

}  // namespace moiety::hf
