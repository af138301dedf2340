// DeepSpeed's top-level keys that decide how a step is taken.
#include "core/config/keys.h"

namespace moiety::config {
namespace {

constexpr double kMaxBatch = 1e9;

void declare_batch(Keys& keys) {
  auto root = keys.section<RunConfig>("", [](RunConfig& c) -> RunConfig& { return c; });
  root.field("train_batch_size", &RunConfig::train_batch_size,
             "sequences of one optimizer step, over all ranks and micro-batches")
      .range(1, kMaxBatch)
      .default_text("from the other two");
  root.field("train_micro_batch_size_per_gpu", &RunConfig::micro_batch_size,
             "sequences that one rank computes at a time")
      .range(1, kMaxBatch)
      .default_text("from the other two");
  root.field("gradient_accumulation_steps", &RunConfig::gradient_accumulation_steps,
             "micro-batches of one rank in one optimizer step")
      .range(1, kMaxBatch)
      .default_text("from the other two, else 1");
}

void declare_fp16(Keys& keys) {
  keys.inputs("fp16").field("enabled", &Inputs::fp16,
                            "compute in float16 with loss scaling; weights are kept in float32");
  auto fp16 = keys.section<Fp16Config>("fp16", [](RunConfig& c) -> Fp16Config& { return c.fp16; });
  fp16.field("loss_scale", &Fp16Config::loss_scale, "fixed loss scale; 0 = dynamic").at_least(0);
  fp16.field("initial_scale_power", &Fp16Config::initial_scale_power,
             "the dynamic scale starts at 2 to this power")
      .range(0, 100);
  fp16.field("loss_scale_window", &Fp16Config::loss_scale_window,
             "steps without overflow after which the scale doubles")
      .range(1, kMaxBatch);
  fp16.field("hysteresis", &Fp16Config::hysteresis, "overflows before the scale is halved")
      .range(1, kMaxBatch);
  fp16.field("consecutive_hysteresis", &Fp16Config::consecutive_hysteresis,
             "a step without overflow refills the hysteresis");
  fp16.field("min_loss_scale", &Fp16Config::min_loss_scale, "the scale never falls below it")
      .range(1e-30, 1e30);
  fp16.field("raise_error_at_min_scale", &Fp16Config::raise_error_at_min_scale,
             "an overflow at min_loss_scale ends the run; false: the step is skipped and the run "
             "goes on, with hysteresis 1 the rule of DeepSpeed's FP16_Optimizer");
}

void declare_fp8(Keys& keys) {
  auto fp8 = keys.section<Fp8Config>("fp8", [](RunConfig& c) -> Fp8Config& { return c.fp8; });
  fp8.field("enabled", &Fp8Config::enabled,
            "multiply by weights in 8-bit floats (E4M3, gradients E5M2) with a scale for each "
            "block; needs bf16");
  fp8.field("dense", &Fp8Config::dense,
            "projections of attention, dense ffns and the dense branch of MoE layers; false: in "
            "bfloat16");
  fp8.field("experts", &Fp8Config::experts,
            "experts, except their weights' gradients; false: in bfloat16");
}

}  // namespace

void declare_training_keys(Keys& keys) {
  declare_batch(keys);
  keys.component("optimizer", ComponentKind::kOptimizer, "adamw",
                 "the optimizer; DeepSpeed's spelling of types is accepted",
                 [](RunConfig& c) -> ComponentChoice& { return c.optimizer; });
  Key scheduler;
  scheduler.role = KeyRole::kScheduler;
  scheduler.option.name = "scheduler";
  scheduler.option.doc = "learning rate over the steps, as DeepSpeed defines it";
  scheduler.option.type = OptionType::kString;
  scheduler.option.fallback = Value(std::string("constant"));
  scheduler.nullable = true;
  keys.add(std::move(scheduler));

  auto root = keys.section<RunConfig>("", [](RunConfig& c) -> RunConfig& { return c; });
  root.field("gradient_clipping", &RunConfig::gradient_clipping,
             "largest global norm of the gradients; 0 = no clipping")
      .at_least(0);
  declare_fp16(keys);
  keys.inputs("bf16").field("enabled", &Inputs::bf16,
                            "compute in bfloat16; weights are kept in float32");
  auto bf16 = keys.section<RunConfig>("bf16", [](RunConfig& c) -> RunConfig& { return c; });
  bf16.field("check_grad_overflow", &RunConfig::check_grad_overflow,
             "skip a batch whose gradients are not finite");
  bf16.field("split_masters", &RunConfig::split_masters,
             "keep of each float32 weight the 16 bits that its bfloat16 value lacks, beside the "
             "value: 2 bytes a parameter less, the same bits");
  declare_fp8(keys);
  auto recompute = keys.section<RecomputeConfig>(
      "activation_checkpointing", [](RunConfig& c) -> RecomputeConfig& { return c.recompute; });
  recompute
      .field("policy", &RecomputeConfig::policy,
             "activations that backward computes again, with the same bits, instead of keeping "
             "them: none; selective: those of one part of each layer; full: all but a layer's "
             "input and its routing")
      .one_of({"none", "selective", "full"});
  recompute
      .field("part", &RecomputeConfig::part,
             "what policy: selective computes again: the attention, or the experts and dense ffns")
      .one_of({"attention", "experts"});
  keys.section<RunConfig>("data_types", [](RunConfig& c) -> RunConfig& { return c; })
      .field("grad_accum_dtype", &RunConfig::gradient_dtype,
             "type of the matrices' gradients; bf16 or fp16, that of the products, needs "
             "gradient_accumulation_steps 1; auto: that of the products at 1, else fp32")
      .one_of({"fp32", "bf16", "fp16", "auto"})
      .nullable();
  keys.section<RunConfig>("zero_optimization", [](RunConfig& c) -> RunConfig& { return c; })
      .field("stage", &RunConfig::zero_stage,
             "0, or 1: optimizer state is spread over ranks, which on one rank is the same")
      .range(0, 3);
  root.field("steps_per_print", &RunConfig::steps_per_print,
             "steps between progress lines; 0 or null = chosen by time")
      .range(0, kMaxBatch)
      .nullable();
}

}  // namespace moiety::config
