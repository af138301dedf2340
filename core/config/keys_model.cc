// The section model.
#include "core/config/keys.h"

namespace moiety::config {

namespace {

constexpr double kMaxSize = 1 << 24;

int64_t derived_head_dim(const ModelConfig& m) {
  if (m.attention == "mla") return m.mla.qk_nope_head_dim + m.mla.qk_rope_head_dim;
  return m.hidden / m.heads;
}

void declare_latent_keys(Keys& keys) {
  auto mla = keys.section<LatentConfig>("model.mla",
                                        [](RunConfig& c) -> LatentConfig& { return c.model.mla; });
  mla.field("q_lora_rank", &LatentConfig::q_lora_rank,
            "width of the queries' latent; 0 = queries come straight from the input")
      .range(0, kMaxSize);
  mla.field("kv_lora_rank", &LatentConfig::kv_lora_rank,
            "width of the latent that keys and values share")
      .range(1, kMaxSize);
  mla.field("qk_nope_head_dim", &LatentConfig::qk_nope_head_dim,
            "numbers of a query or key that do not turn with the position")
      .range(1, 256);
  mla.field("qk_rope_head_dim", &LatentConfig::qk_rope_head_dim,
            "numbers that turn; those of the key are one for all heads")
      .range(2, 256);
  mla.field("v_head_dim", &LatentConfig::v_head_dim, "numbers of a value").range(1, 256);
}

void declare_rope_scaling_keys(Keys& keys) {
  auto scaling = keys.section<RopeScaling>(
      "model.rope_scaling", [](RunConfig& c) -> RopeScaling& { return c.model.rope_scaling; });
  scaling
      .field("type", &RopeScaling::type,
             "stretches rotary positions for contexts longer than those trained on: linear, llama3 "
             "(Llama 3.1), yarn (Peng et al., 2023); the keys are those of transformers")
      .one_of({"none", "linear", "llama3", "yarn"});
  scaling.field("factor", &RopeScaling::factor, "how much longer").range(1, 1e6);
  scaling
      .field("original_length", &RopeScaling::original_length,
             "tokens of the contexts trained on (original_max_position_embeddings)")
      .range(1, kMaxSize);
  scaling
      .field("low_freq_factor", &RopeScaling::low_freq_factor,
             "llama3: pairs that turn less often within original_length are slowed by factor")
      .range(0.001, 1e6);
  scaling
      .field("high_freq_factor", &RopeScaling::high_freq_factor,
             "llama3: pairs that turn more often stay as they are")
      .range(0.001, 1e6);
  scaling.field("beta_fast", &RopeScaling::beta_fast, "yarn: turns from which a pair stays")
      .range(0.001, 1e6);
  scaling.field("beta_slow", &RopeScaling::beta_slow, "yarn: turns below which it is slowed")
      .range(0.001, 1e6);
  scaling.field("mscale", &RopeScaling::mscale, "yarn, DeepSeek: of the magnitude; 0 = not given")
      .range(0, 100);
  scaling
      .field("mscale_all_dim", &RopeScaling::mscale_all_dim,
             "yarn, DeepSeek: the same for all numbers of a head, with mla of the scores; 0 = not "
             "given")
      .range(0, 100);
}

void declare_document_keys(Keys& keys) {
  auto documents = keys.section<DocumentsConfig>(
      "model.documents", [](RunConfig& c) -> DocumentsConfig& { return c.model.documents; });
  documents.field("attend_within", &DocumentsConfig::attend_within,
                  "in packed sequences a token attends to its own document alone, which ends with "
                  "the objective's end_of_document_token; else to all of its sequence before it "
                  "(Megatron's reset-attention-mask)");
  documents
      .field("restart_positions", &DocumentsConfig::restart_positions,
             "positions count from a document's first token, not from the sequence's (Megatron's "
             "reset-position-ids)")
      .derived("model.documents.attend_within", [](RunConfig& c) {
        c.model.documents.restart_positions = c.model.documents.attend_within;
      });
}

void declare_init_keys(Keys& keys) {
  auto init = keys.section<InitFrom>("model.init_from",
                                     [](RunConfig& c) -> InitFrom& { return c.model.init_from; });
  init.field(
          "checkpoint", &InitFrom::checkpoint,
          "a checkpoint, or the run directory of one, whose weights the run starts from (weights "
          "only), relative to the current directory; empty = none. `init_from: FILE` is short "
          "for it")
      .shorthand();
  init.field("layers", &InitFrom::layers,
             "the layer of the checkpoint that each layer starts from, counted from 0, for a model "
             "with fewer or more layers than its source")
      .range(0, 9999)
      .integers()
      .default_text("the same numbers");
  init.field("upcycle", &InitFrom::upcycle,
             "MoE layers start from the checkpoint's dense layers: every expert a copy, or one of "
             "ffn_hidden / moe.hidden slices");
  init.field("noise", &InitFrom::noise,
             "normal noise on upcycled experts, its deviation relative to that of the weights")
      .range(0, 10);
}

}  // namespace

void declare_model_keys(Keys& keys) {
  auto model =
      keys.section<ModelConfig>("model", [](RunConfig& c) -> ModelConfig& { return c.model; });
  model
      .field("type", &ModelConfig::type,
             "kind of model: gpt, a pre-norm decoder; classifier, of images: convolutions, dense "
             "layers, MoE layers, output")
      .one_of({"gpt", "classifier"});
  model
      .field("layers", &ModelConfig::layers,
             "decoder layers; of a classifier, places for MoE layers behind the dense ones")
      .range(1, 10000);
  model.field("hidden", &ModelConfig::hidden, "width of the residual stream").range(1, kMaxSize);
  model.field("heads", &ModelConfig::heads, "attention heads; they divide hidden, or give head_dim")
      .range(1, 65536);
  model
      .field("kv_heads", &ModelConfig::kv_heads,
             "key/value heads, fewer than heads for grouped-query attention; they divide heads")
      .range(1, 65536)
      .derived("model.heads", [](RunConfig& c) { c.model.kv_heads = c.model.heads; });
  model.field("head_dim", &ModelConfig::head_dim, "numbers of a query or key")
      .range(1, 256)
      .derived("model.hidden / model.heads; with mla qk_nope_head_dim + qk_rope_head_dim",
               [](RunConfig& c) { c.model.head_dim = derived_head_dim(c.model); });
  model
      .field("attention", &ModelConfig::attention,
             "how queries, keys and values are made: by one product (mha, with kv_heads grouped), "
             "or through latents (mla, DeepSeek-V2 and V3)")
      .one_of({"mha", "mla"});
  model
      .field("qk_norm", &ModelConfig::qk_norm,
             "RMS norm of queries and keys before they turn: of each head (Qwen3), or of all heads "
             "together (OLMoE)")
      .one_of({"none", "head", "projection"});
  model.field("ffn_hidden", &ModelConfig::ffn_hidden, "width of the dense feed-forward layers")
      .range(1, kMaxSize)
      .derived("4 * model.hidden", [](RunConfig& c) { c.model.ffn_hidden = 4 * c.model.hidden; });
  model
      .field("vocab_size", &ModelConfig::vocab_size,
             "token ids, 256 for bytes; of a classifier, its classes")
      .range(2, kMaxSize)
      .alias("classes");
  model.field("sequence_length", &ModelConfig::sequence_length, "tokens of a training sequence")
      .range(1, kMaxSize)
      .derived("256, of a classifier 1", [](RunConfig& c) {
        c.model.sequence_length = c.model.type == "classifier" ? 1 : 256;
      });
  model.field("norm", &ModelConfig::norm, "normalisation").one_of({"layernorm", "rmsnorm"});
  model.field("activation", &ModelConfig::activation, "of the dense feed-forward layers")
      .one_of({"relu", "gelu", "gelu_tanh", "swiglu"});
  model.field("positions", &ModelConfig::positions, "how a token knows its place")
      .one_of({"learned", "rope", "none"});
  model.field("rope_theta", &ModelConfig::rope_theta, "base of the rotary angles").range(1, 1e12);
  model.field("rope_interleaved", &ModelConfig::rope_interleaved,
              "neighbours turn together (GPT-J, DeepSeek), not the halves of a head (Llama)");
  model.field("norm_eps", &ModelConfig::norm_eps, "added under the root of a norm").range(0, 1);
  model
      .field("init_std", &ModelConfig::init_std,
             "standard deviation of the initial weights; projections into the residual stream "
             "start with init_std / sqrt(2 * layers); 0 = by the number of inputs")
      .range(0, 10);
  model.field("tie_embeddings", &ModelConfig::tie_embeddings,
              "the head uses the token embedding's weights");
  model.field("bias", &ModelConfig::bias, "biases in linear layers and norms");
  model.field("dropout", &ModelConfig::dropout, "of embeddings and of each branch").range(0, 0.99);
  model.field("attention_dropout", &ModelConfig::attention_dropout, "of attention probabilities")
      .range(0, 0.99);
  model.field("image", &ModelConfig::image, "channels, height and width of a classifier's images")
      .range(1, 4096)
      .integers();
  model
      .field("convolutions", &ModelConfig::convolutions,
             "output channels of a classifier's convolutions: 5 x 5 pixels, ReLU, 2 x 2 max "
             "pooling each; empty = none")
      .range(1, 65536)
      .integers();
  model
      .field("dense", &ModelConfig::dense,
             "widths of a classifier's dense layers with ReLU; empty = none")
      .range(1, kMaxSize)
      .integers();
  model.field("freeze", &ModelConfig::freeze,
              "names of parameters that are not trained; * and ? as in a shell");
  declare_rope_scaling_keys(keys);
  declare_latent_keys(keys);
  declare_document_keys(keys);
  declare_init_keys(keys);
}

}  // namespace moiety::config
