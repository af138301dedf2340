#include "core/config/import/related.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "core/base/strings.h"
#include "core/config/import/flags.h"

namespace moiety::config {
namespace {

struct Related {
  const char* path;
  const char* names;
};

/// What neither the tables of flags nor a common name says.
constexpr Related kRelated[] = {
    {"data", "Megatron: --data-path"},
    {"optimizer.params.lr", "Megatron: --lr"},
    {"optimizer.params.weight_decay", "Megatron: --weight-decay"},
    {"optimizer.params.betas", "Megatron: --adam-beta1, --adam-beta2"},
    {"optimizer.params.eps", "Megatron: --adam-eps"},
    {"scheduler", "Megatron: --lr-decay-style, --lr-warmup-iters, --lr-decay-iters, --min-lr"},
    {"train_batch_size", "Megatron: --global-batch-size"},
    {"train_micro_batch_size_per_gpu", "Megatron: --micro-batch-size"},
    {"gradient_clipping", "Megatron: --clip-grad, which DeepSpeed ignores"},
    {"run.steps", "Megatron: --train-iters, --train-samples"},
    {"run.tokens", "Megatron: --train-tokens"},
    {"run.time", "Megatron: --exit-duration-in-mins"},
    {"run.directory", "Megatron: --save"},
    {"run.loss_reduction", "DeepSpeed always does micro_batch"},
    {"eval.interval", "Megatron: --eval-interval"},
    {"eval.batches", "Megatron: --eval-iters, in global batches"},
    {"model.vocab_size", "Megatron: --tokenizer-type, --make-vocab-size-divisible-by"},
    {"model.documents.attend_within", "Megatron: --reset-attention-mask"},
    {"model.documents.restart_positions", "Megatron: --reset-position-ids"},
    {"model.norm", "Megatron: --normalization"},
    {"model.activation", "Megatron: --swiglu, --squared-relu, --no-bias-gelu-fusion"},
    {"model.positions", "Megatron: --position-embedding-type, --use-rotary-position-embeddings"},
    {"model.head_dim", "Megatron: --kv-channels"},
    {"moe.num_experts", "DeepSpeed: MoE(num_experts=1); Megatron: --num-experts"},
    {"moe.expert_parallel_size", "DeepSpeed: MoE(ep_size=1); Megatron: --moe-expert-parallel-size"},
    {"moe.expert_interval", "Megatron: --expert-interval"},
    {"moe.use_residual", "DeepSpeed: MoE(use_residual=False); Megatron: --mlp-type residual"},
    {"moe.expert_initialization", "DeepSpeed always does identical"},
    {"moe.moe_loss_coeff", "Megatron: --moe-loss-coeff, 0.1 by default"},
    {"moe.k", "DeepSpeed: MoE(k=1); Megatron: --topk"},
    {"moe.train_capacity_factor",
     "DeepSpeed: MoE(capacity_factor=1.0); Megatron: --moe-train-capacity-factor"},
    {"moe.eval_capacity_factor",
     "DeepSpeed: MoE(eval_capacity_factor=1.0); Megatron: --moe-eval-capacity-factor"},
    {"moe.min_capacity", "DeepSpeed: MoE(min_capacity=4); Megatron: --moe-min-capacity"},
    {"moe.drop_tokens", "DeepSpeed: MoE(drop_tokens=True); Megatron: --disable-moe-token-dropping"},
    {"moe.noisy_gate_policy", "DeepSpeed: MoE(noisy_gate_policy=None)"},
    {"moe.use_rts", "DeepSpeed: MoE(use_rts=True); always so in Megatron-DeepSpeed"},
    {"moe.gate.params.top2_2nd_expert_sampling",
     "DeepSpeed: MoE(top2_2nd_expert_sampling=True); Megatron: "
     "--disable-moe-top2-2nd-expert-sampling"},
    {"objective", "Megatron: --mos, --kd"},
};

/// Sections and keys whose names are those of a ds_config.
constexpr std::array<std::string_view, 10> kSameName = {"fp16.",
                                                        "bf16.",
                                                        "zero_optimization.",
                                                        "train_batch_size",
                                                        "train_micro_batch_size_per_gpu",
                                                        "gradient_accumulation_steps",
                                                        "gradient_clipping",
                                                        "steps_per_print",
                                                        "optimizer",
                                                        "scheduler"};

}  // namespace

std::string related_names(const std::string& path) {
  std::vector<std::string> names;
  if (std::any_of(kSameName.begin(), kSameName.end(),
                  [&](std::string_view name) { return path.starts_with(name); })) {
    names.emplace_back("DeepSpeed: the same");
  }
  for (const Related& related : kRelated) {
    if (path == related.path) names.emplace_back(related.names);
  }
  std::vector<std::string> flags;
  for (const auto table : {training_flags, moe_flags, model_flags, optimizer_flags, data_flags,
                           distillation_flags, run_flags, parallel_flags}) {
    for (const Flag& flag : table()) {
      const bool sets = flag.meaning == Flag::Meaning::kKey || flag.meaning == Flag::Meaning::kSets;
      if (sets && path == flag.key) flags.emplace_back(flag.name);
    }
  }
  if (!flags.empty()) names.push_back("Megatron: " + join(flags, ", "));
  return join(names, "; ");
}

}  // namespace moiety::config
