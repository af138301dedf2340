// Batches, the length of a run, and the learning rate over it.
#include <algorithm>
#include <string>
#include <utility>

#include "core/config/import/flags.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne, kMany = Arity::kMany;

int64_t batch_of(const FlagContext& c) {
  const int64_t given = c.out.integer("train_batch_size", 0);
  const int64_t micro = c.out.integer("train_micro_batch_size_per_gpu", 1);
  const int64_t steps = c.out.integer("gradient_accumulation_steps", 1);
  return given > 0 ? given : micro * steps * c.world_size;
}

std::string ceil_div(int64_t a, int64_t b) { return std::to_string((a + b - 1) / b); }

/// Megatron ends at the first of iterations, samples and tokens.
void length(const FlagContext& c) {
  if (c.given.has("--train-iters")) {
    c.out.set("run.steps", c.given.value("--train-iters"), c.given.find("--train-iters")->text());
  }
  if (c.given.has("--train-samples")) {
    c.out.set("run.steps", ceil_div(c.given.integer("--train-samples", 0), batch_of(c)),
              c.given.find("--train-samples")->text(),
              "samples / " + std::to_string(batch_of(c)) + " of a batch");
  }
  if (c.given.has("--train-tokens")) {
    c.out.set("run.tokens", c.given.value("--train-tokens"),
              c.given.find("--train-tokens")->text());
  }
  const GivenFlag* minutes = c.given.find("--exit-duration-in-mins");
  if (minutes != nullptr) {
    c.out.set("run.time", c.given.value(minutes->name) + "m", minutes->text());
  }
  const GivenFlag* interval = c.given.find("--exit-interval");
  if (interval == nullptr) return;
  const int64_t exit = c.given.integer(interval->name, 0), steps = c.out.integer("run.steps", 0);
  if (steps > 0 && steps <= exit) return c.out.drop(interval->text(), "the run ends before");
  c.out.set("run.steps", std::to_string(exit), interval->text(),
            "Megatron ends at every multiple of it; this run at the first.");
}

constexpr const char* kScheduleFlags[] = {
    "--lr-decay-style",     "--min-lr",          "--lr-decay-iters",     "--lr-decay-samples",
    "--lr-decay-tokens",    "--lr-warmup-iters", "--lr-warmup-samples",  "--lr-warmup-tokens",
    "--lr-warmup-fraction", "--lr-warmup-init",  "--lr-wsd-decay-style", "--lr-wsd-decay-iters"};

std::string given_schedule(const FlagContext& c) {
  std::string out;
  for (const char* name : kScheduleFlags) {
    if (const GivenFlag* flag = c.given.find(name)) out += (out.empty() ? "" : " ") + flag->text();
  }
  return out;
}

void batch(const FlagContext& c) {
  for (const auto& [flag, key] : {std::pair{"--micro-batch-size", "train_micro_batch_size_per_gpu"},
                                  std::pair{"--global-batch-size", "train_batch_size"}}) {
    if (c.given.has(flag)) c.out.set(key, c.given.value(flag), c.given.find(flag)->text());
  }
  // A ds_config may have said a third number, for another number of ranks.
  if (c.given.has("--micro-batch-size") && c.given.has("--global-batch-size")) {
    c.out.erase("gradient_accumulation_steps");
  }
}

/// Megatron's selective recomputation is that of the attention.
void recompute(const FlagContext& c) {
  const char* policy = "activation_checkpointing.policy";
  for (const char* flag : {"--recompute-activations", "--checkpoint-activations"}) {
    if (!c.given.has(flag)) continue;
    const bool full = std::string_view(flag) == "--checkpoint-activations";
    c.out.set(policy, full ? "full" : "selective", c.given.find(flag)->text());
  }
  const char* granularity = "--recompute-granularity";
  if (c.given.has(granularity)) {
    c.out.set(policy, c.given.value(granularity), c.given.find(granularity)->text());
  }
}

constexpr const char* kEveryLayer =
    "every layer is computed again by itself; it changes no number. Leave it out";

const Flag kFlags[] = {
    part("--micro-batch-size", kOne, batch),
    part("--global-batch-size", kOne, batch),
    refused("--rampup-batch-size", kMany, "needs a batch size that grows"),
    part("--train-iters", kOne, length),
    part("--train-samples", kOne, length),
    part("--train-tokens", kOne, length),
    part("--exit-interval", kOne, length),
    part("--exit-duration-in-mins", kOne, length),
    part("--lr-decay-style", kOne, set_schedule),
    part("--min-lr", kOne, set_schedule),
    part("--lr-decay-iters", kOne, set_schedule),
    part("--lr-decay-samples", kOne, set_schedule),
    part("--lr-decay-tokens", kOne, set_schedule),
    part("--lr-warmup-iters", kOne, set_schedule),
    part("--lr-warmup-samples", kOne, set_schedule),
    part("--lr-warmup-tokens", kOne, set_schedule),
    part("--lr-warmup-fraction", kOne, set_schedule),
    part("--lr-warmup-init", kOne, set_schedule),
    part("--lr-wsd-decay-style", kOne, set_schedule),
    part("--lr-wsd-decay-iters", kOne, set_schedule),
    nothing("--override-lr-scheduler", kNone, "the file's schedule always rules"),
    nothing("--override-opt_param-scheduler", kNone, "the file's schedule always rules"),
    refused("--use-checkpoint-lr-scheduler", kNone, "the file's schedule always rules"),
    refused("--use-checkpoint-opt_param-scheduler", kNone, "the file's schedule always rules"),
    maps("--seed", "run.seed"),
    nothing("--data-parallel-random-init", kNone, "noise is counted by the global row already"),
    part("--checkpoint-activations", kNone, recompute),
    part("--recompute-activations", kNone, recompute),
    part("--recompute-granularity", kOne, recompute),
    refused("--recompute-method", kOne, kEveryLayer),
    refused("--recompute-num-layers", kOne, kEveryLayer),
    refused("--checkpoint-num-layers", kOne, kEveryLayer),
    nothing("--deepspeed-activation-checkpointing", kNone,
            "which library recomputes makes no difference"),
    refused("--distribute-checkpointed-activations", kNone,
            "needs activations spread over ranks, which this version does not have"),
    nothing("--empty-unused-memory-level", kOne, "memory is laid out once"),
    refused("--batch-size", kOne,
            "Megatron-DeepSpeed rejects it; its name is now "
            "--micro-batch-size"),
    refused("--warmup", kOne,
            "Megatron-DeepSpeed rejects it; its name is now "
            "--lr-warmup-fraction"),
    refused("--curriculum-learning", kNone, "needs curriculum learning"),
    refused("--random-ltd", kNone, "needs random layerwise token dropping"),
};

}  // namespace

/// megatron/optimizer_param_scheduler.py. The schedule's options are named after the flags.
void set_schedule(const FlagContext& c) {
  const std::string text = given_schedule(c);
  if (text.empty() && !c.given.has("--lr")) return;
  if (c.out.find("scheduler.type") != nullptr) {
    if (!text.empty()) c.out.drop(text, "the ds_config has a scheduler, which rules");
    return;
  }
  const bool warms_up = text.find("--lr-warmup") != std::string::npos;
  if (c.given.value("--lr-decay-style", "linear") == "constant" && !warms_up) {
    c.out.set_type("scheduler", "constant", text);
    return;
  }
  const std::string source = text.empty() ? "Megatron's default --lr-decay-style linear" : text;
  if (!c.out.set_type("scheduler", "Megatron", source)) return;
  for (const char* flag : kScheduleFlags) {
    const GivenFlag* given = c.given.find(flag);
    if (given == nullptr) continue;
    std::string option = std::string(flag).substr(2);
    std::replace(option.begin(), option.end(), '-', '_');
    c.out.set("scheduler.params." + option, given->values[0], given->text());
  }
  if (c.given.has("--train-samples") && c.given.has("--lr-warmup-samples")) {
    c.out.set_default("scheduler.params.lr_decay_samples", c.given.value("--train-samples"),
                      "Megatron's default: --train-samples");
  }
}

std::span<const Flag> training_flags() { return kFlags; }

}  // namespace moiety::config
