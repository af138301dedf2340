// Evaluation, checkpoints, logs.
#include <algorithm>
#include <string>

#include "core/config/import/flags.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne;

void evaluation(const FlagContext& c) {
  if (c.given.has("--eval-interval")) {
    c.out.set("eval.interval", c.given.value("--eval-interval"),
              c.given.find("--eval-interval")->text());
  }
  if (!c.given.has("--eval-iters")) return;
  const int64_t iterations = c.given.integer("--eval-iters", 0);
  const std::string source = c.given.find("--eval-iters")->text();
  if (iterations == 0) {
    c.out.set("eval.at_end", "false", source);
    return;
  }
  const int64_t micro = std::max<int64_t>(1, c.out.integer("train_micro_batch_size_per_gpu", 1));
  const int64_t batch = c.out.integer("train_batch_size", micro * c.world_size);
  const int64_t per_batch = std::max<int64_t>(1, batch / (micro * c.world_size));
  c.out.set("eval.batches", std::to_string(iterations * per_batch), source,
            "Micro-batches; Megatron counts global batches of " + std::to_string(per_batch) + ".");
}

void checkpoints(const FlagContext& c) {
  const std::string save = c.given.value("--save"), load = c.given.value("--load");
  if (c.given.has("--save")) {
    c.out.set("run.directory", string_text(save), c.given.find("--save")->text(),
              "The run's folder; its checkpoints are inside.");
  }
  if (!c.given.has("--load")) return;
  const std::string source = c.given.find("--load")->text();
  if (load == save) return c.out.drop(source, "to go on: moiety train FILE --resume");
  c.out.refuse(source,
               "checkpoints of Megatron and DeepSpeed are not read; convert the weights "
               "to Hugging Face's format, then moiety ckpt import-hf, then "
               "model.init_from");
}

constexpr const char* kTensorBoard = "needs TensorBoard; metrics.jsonl has the same numbers";
constexpr const char* kWandb = "needs Weights & Biases; metrics.jsonl has the same numbers";
constexpr const char* kLogged = "metrics.jsonl has it always";
constexpr const char* kTimers = "run.profile: N times the phases of N steps";
constexpr const char* kOfLoad = "belongs to --load";

const Flag kFlags[] = {
    part("--eval-interval", kOne, evaluation),
    part("--eval-iters", kOne, evaluation),
    part("--save", kOne, checkpoints),
    part("--load", kOne, checkpoints),
    maps("--save-interval", "checkpoint.interval"),
    nothing("--no-load-optim", kNone, kOfLoad),
    nothing("--no-load-rng", kNone, kOfLoad),
    nothing("--no-load-lr-state", kNone, kOfLoad),
    nothing("--finetune", kNone, kOfLoad),
    refused("--no-save-optim", kNone, "needs checkpoints of the weights alone"),
    nothing("--no-save-rng", kNone, "there is no generator: noise is counted"),
    nothing("--exit-signal-handler", kNone, "a signal always saves and ends the run"),
    maps("--log-interval", "steps_per_print"),
    refused("--tensorboard-dir", kOne, kTensorBoard),
    refused("--tensorboard-queue-size", kOne, kTensorBoard),
    refused("--tensorboard-log-interval", kOne, kTensorBoard),
    refused("--wandb-project", kOne, kWandb),
    refused("--wandb-exp-name", kOne, kWandb),
    refused("--wandb-save-dir", kOne, kWandb),
    nothing("--log-params-norm", kNone, kLogged),
    nothing("--log-num-zeros-in-grad", kNone, kLogged),
    nothing("--log-throughput", kNone, kLogged),
    nothing("--log-learning-rate-to-tensorboard", kNone, kLogged),
    nothing("--log-loss-scale-to-tensorboard", kNone, kLogged),
    nothing("--log-batch-size-to-tensorboard", kNone, kLogged),
    nothing("--log-timers-to-tensorboard", kNone, kTimers),
    nothing("--log-validation-ppl-to-tensorboard", kNone, kLogged),
    nothing("--log-memory-to-tensorboard", kNone, kLogged),
    nothing("--log-optimizer-states-to-tensorboard", kNone, kLogged),
    nothing("--timing-log-level", kOne, kTimers),
    nothing("--timing-log-option", kOne, kTimers),
    refused("--profile", kNone, kTimers),
};

}  // namespace

std::span<const Flag> run_flags() { return kFlags; }

}  // namespace moiety::config
