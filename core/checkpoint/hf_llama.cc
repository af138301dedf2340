// Llama (transformers' LlamaForCausalLM) and Qwen3 (Qwen3ForCausalLM), which norms the queries and
// keys of each head.
#include "core/base/check.h"
#include "core/checkpoint/hf_decoder.h"

namespace moiety::hf {

namespace {

std::vector<Binding> dense_bindings(const Settings& config, bool qk_norm) {
  const Decoder s(config);
  Bindings out(s);
  out.add_ends();
  for (int64_t n = 0; n < s.layers; ++n) {
    out.add_norms(n);
    out.add_attention(n);
    if (qk_norm) out.add_qk_norm(n, s.head, s.head);
    out.add_dense(n, s.inner);
  }
  return out.take();
}

std::string dense_yaml(const Settings& config) {
  const Decoder s(config);
  return decoder_yaml(s, config, 10000, 1e-6) +
         fmt::format("  kv_heads: {}\n  head_dim: {}\n", s.kv_heads, s.head);
}

}  // namespace

std::vector<Binding> llama_bindings(const Settings& config) {
  return dense_bindings(config, /*qk_norm=*/false);
}
std::string llama_yaml(const Settings& config) { return dense_yaml(config); }
Json llama_config(const RunConfig& config, Reasons& reasons) {
  expect(config.model.qk_norm == "none", reasons,
         "model.qk_norm is " + config.model.qk_norm + " in a dense model, expected none or head");
  return decoder_config(config, "llama", "LlamaForCausalLM", reasons);
}

std::vector<Binding> qwen3_bindings(const Settings& config) {
  return dense_bindings(config, /*qk_norm=*/true);
}
std::string qwen3_yaml(const Settings& config) { return dense_yaml(config) + "  qk_norm: head\n"; }
Json qwen3_config(const RunConfig& config, Reasons& reasons) {
  return decoder_config(config, "qwen3", "Qwen3ForCausalLM", reasons);
}

}  // namespace moiety::hf
