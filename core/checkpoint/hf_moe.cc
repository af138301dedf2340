// Mixtral (transformers' MixtralForCausalLM), OLMoE (OlmoeForCausalLM) and Qwen3-MoE
// (Qwen3MoeForCausalLM).
#include <algorithm>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/hf_decoder.h"
#include "core/checkpoint/hf_moe.h"

namespace moiety::hf {

namespace {

const Bindings::Names kMixtralNames = {"w1", "w3", "w2"};

int64_t number_of_experts(const Settings& config) {
  return config.integer("num_experts", config.integer("num_local_experts", 0));
}

/// The routed layers of transformers' models: softmax over all experts, the loss over all layers.
std::string routed_yaml(const Settings& config, bool normalized, double coefficient) {
  return fmt::format(
      "  gate:\n    type: softmax_topk\n    params:\n      k: {}\n      norm_topk_prob: {}\n"
      "  expert:\n    type: swiglu\n  moe_loss_coeff: 0\n  balance_loss_coeff: {}\n"
      "  balance_scope: model\n",
      config.integer("num_experts_per_tok"), normalized,
      config.number("router_aux_loss_coef", coefficient));
}

/// The keys of config.json that routed_yaml reads. Other balancing losses than that of scope model
/// have no counterpart, and none in the model that is exported.
void set_routed(const RunConfig& config, const Router& router, Json& out, Reasons& reasons) {
  out.set("num_experts_per_tok", router.k);
  out.set("output_router_logits", true);
  out.set("router_aux_loss_coef", balance_losses_of(config.moe).model);
  expect(config.moe.shared_hidden == 0, reasons, "there is a shared expert (moe.shared_expert)");
}

bool all_layers(const RunConfig& config) {
  return static_cast<int64_t>(config.moe.layers.size()) == config.model.layers;
}

}  // namespace

Router::Router(const MoeConfig& moe, Reasons& reasons) {
  const OptionMap& options = moe.gate.options;
  const auto is_true = [&](const char* name) {
    const Value* value = find_option(options, name);
    return value != nullptr && std::get<bool>(*value);
  };
  if (const Value* speed = find_option(options, "bias_update_speed")) {
    expect(std::get<double>(*speed) == 0, reasons,
           "the gate balances by a bias (bias_update_speed), which this family has no place for");
  }
  expect(!is_true("drop_tokens"), reasons, "the gate drops tokens (drop_tokens), expected false");
  if (const Value* value = find_option(options, "k")) k = std::get<int64_t>(*value);
  if (moe.gate.type == "topk") {
    normalized = true;
  } else if (moe.gate.type == "softmax_topk") {
    normalized = is_true("norm_topk_prob");
  } else {
    reasons.push_back("moe.gate.type is " + moe.gate.type + ", expected softmax_topk");
  }
}

void expect_plain_experts(const MoeConfig& moe, Reasons& reasons) {
  expect(moe.expert.type == "swiglu", reasons,
         "moe.expert.type is " + moe.expert.type + ", expected swiglu");
  expect(!moe.use_residual, reasons, "moe.use_residual is true, expected false");
  const bool even = std::all_of(moe.num_experts.begin(), moe.num_experts.end(),
                                [&](int64_t n) { return n == moe.num_experts.at(0); });
  expect(even, reasons, "the MoE layers have different numbers of experts (moe.num_experts)");
}

std::vector<Binding> mixtral_bindings(const Settings& config) {
  const Decoder s(config);
  Bindings out(s);
  out.add_ends();
  for (int64_t n = 0; n < s.layers; ++n) {
    out.add_norms(n);
    out.add_attention(n);
    out.add_experts(n, from_layer(n) + "block_sparse_moe.", number_of_experts(config), s.inner,
                    kMixtralNames);
  }
  return out.take();
}

std::string mixtral_yaml(const Settings& config) {
  const Decoder s(config);
  config.require(config.number("router_jitter_noise", 0) == 0, "router_jitter_noise", "expected 0");
  return decoder_yaml(s, config, 1e6, 1e-5) +
         fmt::format(
             "  kv_heads: {}\n  head_dim: {}\nmoe:\n  enabled: true\n  num_experts: {}\n"
             "  expert_interval: 1\n  hidden: {}\n",
             s.kv_heads, s.head, number_of_experts(config), s.inner) +
         routed_yaml(config, /*normalized=*/true, 0.001);
}

Json mixtral_config(const RunConfig& config, Reasons& reasons) {
  Json out = decoder_config(config, "mixtral", "MixtralForCausalLM", reasons);
  expect_plain_experts(config.moe, reasons);
  expect(all_layers(config), reasons, "not every layer is a MoE layer (moe.layers)");
  const Router router(config.moe, reasons);
  expect(router.normalized, reasons,
         "the weights of a token's choices do not sum to 1 (norm_topk_prob)");
  out.set("intermediate_size", config.moe.hidden);
  out.set("num_local_experts", config.moe.num_experts.at(0));
  set_routed(config, router, out, reasons);
  return out.set("router_jitter_noise", 0.0).set("sliding_window", Json());
}

std::vector<Binding> olmoe_bindings(const Settings& config) {
  const Decoder s(config);
  Bindings out(s);
  out.add_ends();
  for (int64_t n = 0; n < s.layers; ++n) {
    out.add_norms(n);
    out.add_attention(n);
    out.add_qk_norm(n, s.heads * s.head, s.kv_heads * s.head);
    out.add_experts(n, from_layer(n) + "mlp.", number_of_experts(config), s.inner, {});
  }
  return out.take();
}

std::string olmoe_yaml(const Settings& config) {
  const Decoder s(config);
  config.require(config.find("clip_qkv") == nullptr, "clip_qkv", "expected null");
  return decoder_yaml(s, config, 10000, 1e-5) +
         fmt::format(
             "  kv_heads: {}\n  head_dim: {}\n  qk_norm: projection\nmoe:\n  enabled: true\n"
             "  num_experts: {}\n  expert_interval: 1\n  hidden: {}\n",
             s.kv_heads, s.head, number_of_experts(config), s.inner) +
         routed_yaml(config, config.boolean("norm_topk_prob", false), 0.01);
}

Json olmoe_config(const RunConfig& config, Reasons& reasons) {
  Json out = decoder_config(config, "olmoe", "OlmoeForCausalLM", reasons);
  const ModelConfig& m = config.model;
  expect_plain_experts(config.moe, reasons);
  expect(all_layers(config), reasons, "not every layer is a MoE layer (moe.layers)");
  expect(m.head_width() * m.heads == m.hidden, reasons,
         "model.head_dim is not hidden / heads, which OLMoE takes for granted");
  out.set("intermediate_size", config.moe.hidden).set("clip_qkv", Json());
  out.set("num_experts", config.moe.num_experts.at(0));
  const Router router(config.moe, reasons);
  out.set("norm_topk_prob", router.normalized);
  set_routed(config, router, out, reasons);
  return out;
}

namespace {

/// Layer n has experts unless it is listed as dense or falls between the sparse steps.
std::vector<int64_t> qwen3_moe_layers(const Settings& config, int64_t layers) {
  const int64_t step = config.integer("decoder_sparse_step", 1);
  std::vector<int64_t> dense, out;
  if (const Json* listed = config.find("mlp_only_layers")) {
    for (const Json& n : listed->array()) dense.push_back(n.integer());
  }
  for (int64_t n = 0; n < layers; ++n) {
    const bool listed = std::find(dense.begin(), dense.end(), n) != dense.end();
    if (!listed && step > 0 && (n + 1) % step == 0) out.push_back(n);
  }
  config.require(!out.empty(), "mlp_only_layers", "no layer is left that has experts");
  return out;
}

}  // namespace

std::vector<Binding> qwen3_moe_bindings(const Settings& config) {
  const Decoder s(config);
  const std::vector<int64_t> sparse = qwen3_moe_layers(config, s.layers);
  Bindings out(s);
  out.add_ends();
  for (int64_t n = 0; n < s.layers; ++n) {
    out.add_norms(n);
    out.add_attention(n);
    out.add_qk_norm(n, s.head, s.head);
    if (std::find(sparse.begin(), sparse.end(), n) == sparse.end()) {
      out.add_dense(n, s.inner);
    } else {
      out.add_experts(n, from_layer(n) + "mlp.", number_of_experts(config),
                      config.integer("moe_intermediate_size"), {});
    }
  }
  return out.take();
}

std::string qwen3_moe_yaml(const Settings& config) {
  const Decoder s(config);
  return decoder_yaml(s, config, 10000, 1e-6) +
         fmt::format(
             "  kv_heads: {}\n  head_dim: {}\n  qk_norm: head\nmoe:\n  enabled: true\n"
             "  num_experts: {}\n  layers: [{}]\n  hidden: {}\n",
             s.kv_heads, s.head, number_of_experts(config),
             numbers_text(qwen3_moe_layers(config, s.layers)),
             config.integer("moe_intermediate_size")) +
         routed_yaml(config, config.boolean("norm_topk_prob", false), 0.001);
}

Json qwen3_moe_config(const RunConfig& config, Reasons& reasons) {
  Json out = decoder_config(config, "qwen3_moe", "Qwen3MoeForCausalLM", reasons);
  expect_plain_experts(config.moe, reasons);
  Json dense = Json::Array{};
  for (int64_t n = 0; n < config.model.layers; ++n) {
    const std::vector<int64_t>& sparse = config.moe.layers;
    if (std::find(sparse.begin(), sparse.end(), n) == sparse.end()) dense.push(n);
  }
  out.set("decoder_sparse_step", 1).set("mlp_only_layers", dense);
  out.set("moe_intermediate_size", config.moe.hidden);
  out.set("num_experts", config.moe.num_experts.at(0));
  const Router router(config.moe, reasons);
  out.set("norm_topk_prob", router.normalized);
  set_routed(config, router, out, reasons);
  return out.set("sliding_window", Json()).set("use_sliding_window", false);
}

std::string numbers_text(const std::vector<int64_t>& numbers) {
  std::vector<std::string> texts;
  texts.reserve(numbers.size());
  for (const int64_t n : numbers) texts.push_back(std::to_string(n));
  return join(texts, ", ");
}

}  // namespace moiety::hf
