// The shape of the model.
#include <algorithm>
#include <string>

#include "core/config/import/flags.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne;

void head_width(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--kv-channels");
  if (flag == nullptr) return;
  const int64_t hidden = c.given.integer("--hidden-size", 0);
  const int64_t heads = std::max<int64_t>(1, c.given.integer("--num-attention-heads", 1));
  const int64_t width = c.given.integer("--kv-channels", 0);
  if (width == hidden / heads) return c.out.drop(flag->text(), "hidden size / heads");
  c.out.set("model.head_dim", std::to_string(width), flag->text());
}

void normalization(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--normalization");
  if (flag == nullptr) return;
  std::string name = c.given.value("--normalization");
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char x) { return x >= 'A' && x <= 'Z' ? static_cast<char>(x + 32) : x; });
  c.out.set("model.norm", name, flag->text());
}

constexpr const char* kFused = "chooses between implementations of the same arithmetic";

const Flag kFlags[] = {
    maps("--num-layers", "model.layers"),
    maps("--encoder-num-layers", "model.layers"),
    maps("--hidden-size", "model.hidden"),
    maps("--ffn-hidden-size", "model.ffn_hidden"),
    maps("--num-attention-heads", "model.heads"),
    maps("--num-key-value-heads", "model.kv_heads"),
    maps("--num-query-groups", "model.kv_heads"),
    nothing("--group-query-attention", kNone, "--num-query-groups says how many"),
    part("--kv-channels", kOne, head_width),
    maps("--seq-length", "model.sequence_length"),
    maps("--encoder-seq-length", "model.sequence_length"),
    nothing("--max-position-embeddings", kOne, "the table is as long as model.sequence_length"),
    part("--position-embedding-type", kOne, set_positions),
    part("--use-rotary-position-embeddings", kNone, set_positions),
    part("--use-rotary", kNone, set_positions),
    part("--no-position-embedding", kNone, set_positions),
    nothing("--add-position-embedding", kNone, "Megatron's default"),
    only("--rotary-percent", "1.0", "needs rotary positions of a part of each head"),
    maps("--rotary-base", "model.rope_theta"),
    refused("--use-alibi-position-embeddings", kNone, "needs ALiBi"),
    part("--normalization", kOne, normalization),
    maps("--layernorm-epsilon", "model.norm_eps"),
    maps("--norm-epsilon", "model.norm_eps"),
    refused("--apply-layernorm-1p", kNone, "needs norms whose weight is stored less one"),
    sets("--qk-layernorm", "model.qk_norm", "head"),
    part("--swiglu", kNone, set_activation),
    part("--openai-gelu", kNone, set_activation),
    part("--squared-relu", kNone, set_activation),
    part("--no-bias-gelu-fusion", kNone, set_activation),
    nothing("--no-bias-swiglu-fusion", kNone, kFused),
    sets("--disable-bias-linear", "model.bias", "false",
         "Also of the norms, whose bias Megatron keeps where they are LayerNorms."),
    refused("--add-qkv-bias", kNone, "needs biases of the attention's input alone"),
    maps("--hidden-dropout", "model.dropout"),
    maps("--attention-dropout", "model.attention_dropout"),
    maps("--init-method-std", "model.init_std"),
    refused("--init-method-xavier-uniform", kNone, "needs Xavier initialisation"),
    sets("--untie-embeddings-and-output-weights", "model.tie_embeddings", "false"),
    part("--vocab-size", kOne, set_vocabulary),
    part("--tokenizer-type", kOne, set_vocabulary),
    part("--make-vocab-size-divisible-by", kOne, set_vocabulary),
    refused("--fp32-residual-connection", kNone,
            "needs a float32 residual stream beside 16-bit layers"),
    nothing("--apply-query-key-layer-scaling", kNone, "divides and multiplies by the same number"),
    nothing("--no-query-key-layer-scaling", kNone, "divides and multiplies by the same number"),
    nothing("--attention-softmax-in-fp32", kNone, "always"),
    nothing("--no-masked-softmax-fusion", kNone, kFused),
    nothing("--no-bias-dropout-fusion", kNone, kFused),
    nothing("--no-persist-layer-norm", kNone, kFused),
    nothing("--use-flash-attn", kNone, kFused),
    nothing("--use-flash-attn-v1", kNone, kFused),
    nothing("--use-flash-attn-v2", kNone, kFused),
    nothing("--use-flash-attn-triton", kNone, kFused),
    nothing("--use-mcore-models", kNone, kFused),
    nothing("--transformer-impl", kOne, kFused),
};

}  // namespace

/// Of the dense layers and of the experts. Megatron fuses bias and GELU, which is the tanh form.
void set_activation(const FlagContext& c) {
  std::string dense = "gelu_tanh", source = "Megatron's fused bias and GELU is the tanh form";
  for (const auto& [flag, name] :
       {std::pair{"--no-bias-gelu-fusion", "gelu"}, std::pair{"--openai-gelu", "gelu_tanh"},
        std::pair{"--squared-relu", "relu_squared"}, std::pair{"--swiglu", "swiglu"}}) {
    if (c.given.has(flag)) dense = name, source = flag;
  }
  c.out.set("model.activation", dense, source);
  if (dense == "swiglu") {
    const int64_t hidden = c.given.integer("--hidden-size", 0);
    if (!c.given.has("--ffn-hidden-size") && hidden > 0) {
      c.out.set("model.ffn_hidden", std::to_string(hidden * 8 / 3 / 64 * 64),
                "4 * hidden * 2/3, to a multiple of 64");
    }
  }
  if (!c.out.find("moe.num_experts")) return;
  if (dense == "swiglu") {
    c.out.set_type("moe.expert", "swiglu", source);
  } else if (c.out.set_type("moe.expert", "ffn", source)) {
    c.out.set("moe.expert.params.activation", dense, source);
    if (c.given.has("--disable-bias-linear")) {
      c.out.set("moe.expert.params.bias", "false", "--disable-bias-linear");
    }
  }
}

void set_positions(const FlagContext& c) {
  std::string kind = c.given.value("--position-embedding-type", "learned_absolute");
  std::string source = c.given.has("--position-embedding-type")
                           ? c.given.find("--position-embedding-type")->text()
                           : "Megatron's default";
  for (const char* flag : {"--use-rotary-position-embeddings", "--use-rotary"}) {
    if (c.given.has(flag)) kind = "rope", source = flag;
  }
  if (c.given.has("--no-position-embedding") && kind != "rope") {
    kind = "none", source = "--no-position-embedding";
  } else if (c.given.has("--no-position-embedding")) {
    c.out.drop("--no-position-embedding", "with rope there is none");
  }
  c.out.set("model.positions", kind == "learned_absolute" ? "learned" : kind, source);
}

/// pretrain_gpt.py takes GPT-2's tokenizer where none is named.
void set_vocabulary(const FlagContext& c) {
  int64_t size = c.given.integer("--vocab-size", 0);
  const std::string fallback = size > 0 ? "" : "GPT2BPETokenizer";
  const std::string kind = c.given.value("--tokenizer-type", fallback);
  std::string text = "pretrain_gpt.py's default, GPT2BPETokenizer";
  for (const char* name : {"--tokenizer-type", "--vocab-size"}) {
    if (c.given.has(name)) text = c.given.find(name)->text();
  }
  if (kind == "GPT2BPETokenizer") size = 50257;
  if (kind == "NullTokenizer") ++size;  // and the end of a document
  if (size <= 0) {
    return c.out.refuse(text,
                        "the size of its vocabulary is not known here; give "
                        "model.vocab_size, and tokens as ids below it");
  }
  const int64_t multiple = c.given.integer("--make-vocab-size-divisible-by", 128);
  const int64_t padded = (size + multiple - 1) / std::max<int64_t>(1, multiple) * multiple;
  c.out.set("model.vocab_size", std::to_string(padded), text,
            padded == size
                ? ""
                : std::to_string(size) + " padded to a multiple of " + std::to_string(multiple) +
                      ", as Megatron does; the padding takes part in the softmax.");
}

std::span<const Flag> model_flags() { return kFlags; }

void set_dropout(const FlagContext& c) {
  c.out.set_default("model.dropout", "0.1", "Megatron's default");
  c.out.set_default("model.attention_dropout", "0.1", "Megatron's default");
}

}  // namespace moiety::config
