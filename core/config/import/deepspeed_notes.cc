// What users of a ds_config believe and what DeepSpeed does, where the two differ.
#include "core/config/import/deepspeed.h"

namespace moiety::config {

const std::vector<DeepSpeedNote>& deepspeed_notes() {
  static const std::vector<DeepSpeedNote> notes = {
      {"moe", "", "DeepSpeed's training never reads a `moe` block; here it is what it says."},
      {"moe.eval_capacity_factor", "",
       "A factor drops tokens beyond it in evaluation too, also at 2.0; drop_tokens: false drops "
       "none."},
      {"moe.train_capacity_factor", "",
       "Times k / num_experts of the tokens of a micro-batch. A smaller one drops more tokens; "
       "only "
       "the balancing loss moves them to other experts. DeepSpeed's default is 1.0."},
      {"moe.moe_loss_coeff", "",
       "Weight of the sum over layers. 0.01 is this program's default and the guides'; "
       "Megatron-DeepSpeed's is 0.1."},
      {"moe.noisy_gate_policy", "RSample",
       "Read with k = 1 alone: DeepSpeed ignores it otherwise."},
      {"optimizer.type", "adam",
       "DeepSpeed's Adam is AdamW unless adam_w_mode is false; so is this one."},
      {"scheduler.type", "WarmupDecayLR",
       "warmup_max_lr is 0.001 where it is not given, whatever the optimizer's lr."},
      {"scheduler.type", "WarmupLR", "As in DeepSpeed, the warm-up is logarithmic by default."},
      {"fp16.enabled", "true",
       "Right at every ZeRO stage. DeepSpeed from 0.18.3 on does not scale the loss at stage 0 and "
       "divides the gradients all the same: compare with stage 1 or 2. The scale follows "
       "DeepSpeed's engine (ZeRO 1 and 2); FP16_Optimizer, at stage 0, is hysteresis: 1 with "
       "raise_error_at_min_scale: false."},
      {"zero_optimization.stage", "1",
       "On one rank there is nothing to spread: the same as stage 0."},
  };
  return notes;
}

/// Other names for a key of ours, and keys that DeepSpeed does not have.
const std::vector<DeepSpeedName>& deepspeed_names() {
  static const std::vector<DeepSpeedName> names = {
      {"moe.top_k", "moe.k", ""},
      {"moe.topk", "moe.k", ""},
      {"moe.z_loss", "moe.z_loss_coeff", ""},
      {"moe.aux_loss_coeff", "moe.moe_loss_coeff", ""},
      {"moe.loss_coeff", "moe.moe_loss_coeff", ""},
      {"seed", "run.seed", "DeepSpeed ignores a seed in this file."},
  };
  return names;
}

}  // namespace moiety::config
