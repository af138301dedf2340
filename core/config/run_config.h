// The typed configuration that the rest of the core reads. core/config fills it from YAML; nothing
// outside core/config knows YAML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <moiety/component.h>
#include <moiety/options.h>

namespace moiety {

/// {type, params}: validated against the plugin's schema, complete, in the schema's order.
struct ComponentChoice {
  std::string type;
  OptionMap options;
};

MOIETY_API const Value* find_option(const OptionMap& options, std::string_view name);

/// Parameters with a rate and a decay of their own.
struct ParamGroup {
  std::vector<std::string> match;  // glob patterns of parameter names
  double lr_scale = 1;             // factor on the schedule's rate
  std::optional<double>
      decay_scale;    // on the optimizer's decay; not given: by the parameter's kind
  std::string where;  // "file:line:col: optimizer.groups[0].match", for messages
};

enum class Precision : uint8_t { kF32, kBF16, kF16 };
enum class BalanceScope : uint8_t { kMicroBatch, kSequence, kGlobalBatch, kModel };

/// Coefficients of the core's balancing losses; docs/numerics.md defines them.
struct BalanceLosses {
  double micro_batch = 0, sequence = 0, global_batch = 0, model = 0;
  double importance = 0, load = 0;
};

struct Fp16Config {
  double loss_scale = 0;  // 0 = dynamic
  int64_t initial_scale_power = 16, loss_scale_window = 1000, hysteresis = 2;
  bool consecutive_hysteresis = false;
  double min_loss_scale = 1;
  bool raise_error_at_min_scale = true;
};

/// Which products run in 8-bit floats, beside bf16.
struct Fp8Config {
  bool enabled = false;
  bool dense = true, experts = true;
};

/// Sizes of multi-head latent attention, under the names of DeepSeek's config.json.
struct LatentConfig {
  int64_t q_lora_rank = 0;  // 0: queries come straight from the input
  int64_t kv_lora_rank = 512;
  int64_t qk_nope_head_dim = 128, qk_rope_head_dim = 64, v_head_dim = 128;
};

/// How rotary angles are stretched for contexts longer than those that a model was trained on,
/// under the names of transformers' rope_parameters.
struct RopeScaling {
  std::string type = "none";  // none | linear | llama3 | yarn
  double factor = 1;
  int64_t original_length = 8192;                    // original_max_position_embeddings
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn; 0 = not given
};

/// The checkpoint that a run's weights come from.
struct InitFrom {
  std::filesystem::path checkpoint;
  std::vector<int64_t> layers;  // the source's layer of each layer; empty = the same numbers
  bool upcycle = false;         // MoE layers may come from dense ones
  double noise = 0;             // added to upcycled experts, relative to the weights' deviation
};

/// How sequences of several documents are read.
struct DocumentsConfig {
  bool attend_within = false;      // a token sees its own document alone
  bool restart_positions = false;  // positions count from a document's first token; default:
                                   // attend_within
  int64_t end_token = -1;          // the objective's end_of_document_token; below 0 = none

  bool told_apart() const { return attend_within || restart_positions; }
};

struct ModelConfig {
  std::string type = "gpt";  // gpt | classifier
  int64_t layers = 4, hidden = 256, heads = 4, kv_heads = 4 /*default: heads*/;
  int64_t head_dim = 0;           // 0 = hidden / heads
  std::string attention = "mha";  // mha | mla
  std::string qk_norm = "none";   // none | head | projection
  LatentConfig mla;
  int64_t ffn_hidden = 1024;  // default 4 * hidden
  int64_t vocab_size = 256, sequence_length = 256;
  std::string norm = "layernorm";     // layernorm | rmsnorm
  std::string activation = "gelu";    // relu | gelu | gelu_tanh | swiglu (dense layers)
  std::string positions = "learned";  // learned | rope | none
  double rope_theta = 10000, norm_eps = 1e-5, init_std = 0.02;
  bool rope_interleaved = false;
  RopeScaling rope_scaling;
  bool tie_embeddings = true, bias = true;
  double dropout = 0, attention_dropout = 0;
  std::vector<int64_t> image = {3, 32, 32};  // C, H, W of a classifier
  std::vector<int64_t> convolutions;         // its channels: 5 x 5, ReLU, 2 x 2 max pooling each
  std::vector<int64_t> dense;                // its dense layers with ReLU: their widths
  DocumentsConfig documents;
  InitFrom init_from;               // weights only
  std::vector<std::string> freeze;  // glob patterns of parameter names

  int64_t head_width() const { return head_dim > 0 ? head_dim : hidden / heads; }
};

enum class ForcedRouting : uint8_t { kNone, kBalanced, kZipf };

/// What every router has, whatever the gate.
struct RouterConfig {
  bool f64 = false;         // router.dtype: its products are summed in f64
  double input_jitter = 0;  // half width of the noise on its input; 0 = the gate's own, if any
  ForcedRouting forced = ForcedRouting::kNone;
  double zipf_exponent = 1;
  std::filesystem::path record, replay;  // recordings; empty = none
  int64_t record_steps = 0;              // 0 = all
};

struct MoeConfig {
  bool enabled = false;
  std::vector<int64_t> layers;       // 0-based numbers of the MoE layers, resolved
  std::vector<int64_t> num_experts;  // one per MoE layer, resolved
  int64_t hidden = 1024;             // H of an expert; default model.ffn_hidden
  int64_t expert_parallel_size = 1;
  double loss_coeff = 0.01;       // of the gate's own losses (DeepSpeed's l_aux)
  double balance_loss_coeff = 0;  // of the core's balancing loss
  BalanceScope balance_scope = BalanceScope::kMicroBatch;
  BalanceLosses balance_losses;  // beside balance_loss_coeff
  double load_loss_noise = 0;    // deviation in the load loss; 0 = 1 / experts
  double z_loss_coeff = 0;
  bool use_residual = false;
  int64_t shared_hidden = 0;       // width of the shared expert; 0 = none
  bool shared_gate = false;        // a sigmoid of the token weighs it
  bool identical_experts = false;  // DeepSpeed's initialisation: copies of one expert
  RouterConfig router;
  ComponentChoice gate, expert;
};

/// balance_losses, with balance_loss_coeff at its scope.
inline BalanceLosses balance_losses_of(const MoeConfig& moe) {
  BalanceLosses all = moe.balance_losses;
  switch (moe.balance_scope) {
    case BalanceScope::kMicroBatch: all.micro_batch += moe.balance_loss_coeff; break;
    case BalanceScope::kSequence: all.sequence += moe.balance_loss_coeff; break;
    case BalanceScope::kGlobalBatch: all.global_batch += moe.balance_loss_coeff; break;
    case BalanceScope::kModel: all.model += moe.balance_loss_coeff; break;
  }
  return all;
}

/// Whether any of them is on.
inline bool balances(const BalanceLosses& c) {
  return c.micro_batch + c.sequence + c.global_batch + c.model + c.importance + c.load > 0;
}

struct RunSection {
  std::string device = "auto";      // auto | cpu | cuda
  std::filesystem::path directory;  // run directory; default runs/<file name>
  int64_t steps = 0;                // 0 = no limit; the first reached limit ends the run
  int64_t tokens = 0;
  double seconds = 0;  // run.time: "90s", "5m", "2h" or a number of seconds
  uint64_t seed = 1234;
  bool deterministic = false;
  std::string graph = "auto";        // auto | on | off: capture the step in a CUDA graph
  int64_t threads = 0;               // CPU threads, 0 = all
  int64_t profile = 0;               // steps whose phases are timed
  bool batch_mean_of_means = false;  // run.loss_reduction: micro_batch
  double diverged_loss = 0;          // a loss above it counts as diverged; 0 = only NaN/inf
  int64_t diverged_steps = 5;        // consecutive
};

struct EvalSection {
  int64_t interval = 0;  // steps; 0 = only at the end
  int64_t batches = 16;  // micro-batches of validation data, at most
  bool at_end = true;
  int64_t sample_bytes = 0;  // tokens of a generated sample at the end; 0 = none
  std::string sample_prompt;
  double temperature = 0.8;  // 0 = greedy
};

struct CheckpointSection {
  int64_t interval = 0;  // steps; 0 = only at the end
  int64_t keep_last = 3;
  bool at_end = true;
};

/// Which activations backward computes again instead of keeping them.
struct RecomputeConfig {
  std::string policy = "none";     // none | selective | full
  std::string part = "attention";  // of selective: attention | experts
};

struct MonitorSection {
  int64_t interval = 1;          // steps between rows of metrics.jsonl
  double dead_expert_share = 0;  // an expert below this share of 1/E counts as dead
};

/// How the value of a path came about: "configs/a.yaml:12:5", "override 'a.b=3'", "default".
struct Provenance {
  std::string path, value, source;
};

struct RunConfig {
  std::filesystem::path file;
  int64_t train_batch_size = 0, micro_batch_size = 0, gradient_accumulation_steps = 1;
  int64_t world_size = 1;
  ComponentChoice optimizer, data, objective;
  double base_lr = 1e-3;                 // optimizer.params.lr
  std::vector<ParamGroup> param_groups;  // a parameter is in the first that matches it
  std::string scheduler_type;            // "" = constant
  OptionMap scheduler_options;           // validated and complete
  Precision precision = Precision::kF32;
  Fp16Config fp16;
  Fp8Config fp8;
  bool check_grad_overflow = true;
  bool split_masters = false;           // bf16.split_masters
  std::string gradient_dtype = "fp32";  // data_types.grad_accum_dtype; or bf16, fp16, auto
  double gradient_clipping = 1.0;
  int64_t zero_stage = 0;
  int64_t steps_per_print = 0;  // 0 = choose
  ModelConfig model;
  MoeConfig moe;
  RunSection run;
  EvalSection eval;
  CheckpointSection checkpoint;
  RecomputeConfig recompute;  // activation_checkpointing
  MonitorSection monitor;
  std::vector<std::filesystem::path> plugins;
  std::string resolved_yaml;  // complete: a run can be repeated from it alone
  std::vector<Provenance> provenance;
  std::vector<std::string> overrides;  // as typed
  std::vector<std::string> warnings;   // to be logged at the start
  std::vector<std::string> accepted;   // keys of DeepSpeed's that change nothing here, and why
};

/// "configs/a.yaml:12:5: data.params.files": where the value of `path` was given, to begin an error
/// with; `path` alone for a default.
MOIETY_API std::string place_of(const RunConfig& config, std::string_view path);

}  // namespace moiety
