// The sections run, data, objective, eval, checkpoint, monitor and plugins.
#include "core/config/keys.h"

namespace moiety::config {
namespace {

constexpr double kMaxCount = 1e15;

void declare_run(Keys& keys) {
  auto run = keys.section<RunSection>("run", [](RunConfig& c) -> RunSection& { return c.run; });
  run.field("device", &RunSection::device, "where to compute; auto takes a GPU when there is one")
      .one_of({"auto", "cpu", "cuda"});
  run.field("directory", &RunSection::directory,
            "folder of the run, relative to the current directory")
      .derived("runs/ and the file's name", [](RunConfig& c) {
        c.run.directory = std::filesystem::path("runs") / c.file.stem();
      });
  run.field("steps", &RunSection::steps,
            "optimizer steps after which the run ends; 0 = no limit. The first of steps, tokens "
            "and time that is reached ends it")
      .range(0, kMaxCount);
  run.field("tokens", &RunSection::tokens, "tokens after which the run ends; 0 = no limit")
      .range(0, kMaxCount);
  run.field("time", &RunSection::seconds,
            "time after which the run ends: 90s, 5m, 1h30m or a number of seconds; 0 = no limit")
      .duration()
      .at_least(0);
  run.field("seed", &RunSection::seed, "seed of all randomness").range(0, kMaxCount);
  run.field("deterministic", &RunSection::deterministic,
            "the same bits from run to run on a GPU too; on the CPU they always are");
  run.field("graph", &RunSection::graph, "capture the training step as a CUDA graph")
      .one_of({"auto", "on", "off"});
  run.field("threads", &RunSection::threads,
            "CPU threads; 0 = one per core. Results do not depend on it")
      .range(0, 4096);
  run.field("profile", &RunSection::profile,
            "number of steps whose phases are timed, printed and traced")
      .range(0, kMaxCount);
  run.choice("loss_reduction", &RunSection::batch_mean_of_means,
             {{"token", false}, {"micro_batch", true}},
             "token: mean over the unmasked tokens of the whole batch; micro_batch: mean of the "
             "micro-batches' means, as DeepSpeed does");
  run.field("diverged_loss", &RunSection::diverged_loss,
            "a loss above it counts as diverged; 0 = only NaN and infinities")
      .at_least(0);
  run.field("diverged_steps", &RunSection::diverged_steps,
            "consecutive diverged steps after which the run stops")
      .range(1, kMaxCount);
}

void declare_eval(Keys& keys) {
  auto eval =
      keys.section<EvalSection>("eval", [](RunConfig& c) -> EvalSection& { return c.eval; });
  eval.field("interval", &EvalSection::interval, "steps between evaluations; 0 = only at the end")
      .range(0, kMaxCount);
  eval.field("batches", &EvalSection::batches, "micro-batches of validation data, at most")
      .range(1, kMaxCount);
  eval.field("at_end", &EvalSection::at_end, "evaluate when the run ends");
  eval.field("sample_bytes", &EvalSection::sample_bytes,
             "tokens of a sample generated when the run ends; 0 = none")
      .range(0, kMaxCount);
  eval.field("sample_prompt", &EvalSection::sample_prompt, "what the sample starts with");
  eval.field("temperature", &EvalSection::temperature, "of the sample; 0 = greedy").range(0, 100);
}

void declare_checkpoint(Keys& keys) {
  auto checkpoint = keys.section<CheckpointSection>(
      "checkpoint", [](RunConfig& c) -> CheckpointSection& { return c.checkpoint; });
  checkpoint
      .field("interval", &CheckpointSection::interval,
             "steps between checkpoints; 0 = only at the end")
      .range(0, kMaxCount);
  checkpoint
      .field("keep_last", &CheckpointSection::keep_last, "checkpoints to keep, the newest; 0 = all")
      .range(0, kMaxCount);
  checkpoint.field("at_end", &CheckpointSection::at_end, "save when the run ends");
}

void declare_monitor(Keys& keys) {
  auto monitor = keys.section<MonitorSection>(
      "monitor", [](RunConfig& c) -> MonitorSection& { return c.monitor; });
  monitor.field("interval", &MonitorSection::interval, "steps between rows of metrics.jsonl")
      .range(1, kMaxCount);
  monitor
      .field("dead_expert_share", &MonitorSection::dead_expert_share,
             "an expert whose tokens are at most this share of the even share counts as dead")
      .range(0, 1);
}

}  // namespace

void declare_run_keys(Keys& keys) {
  keys.inputs("")
      .field("schema_version", &Inputs::schema_version, "version of these rules")
      .range(1, 1);
  declare_run(keys);
  keys.component("data", ComponentKind::kData, "", "where the tokens come from",
                 [](RunConfig& c) -> ComponentChoice& { return c.data; });
  keys.component("objective", ComponentKind::kObjective, "causal_lm", "the loss",
                 [](RunConfig& c) -> ComponentChoice& { return c.objective; });
  declare_eval(keys);
  declare_checkpoint(keys);
  declare_monitor(keys);
  keys.section<RunConfig>("", [](RunConfig& c) -> RunConfig& { return c; })
      .field("plugins", &RunConfig::plugins,
             "plugin libraries to load, relative to the file that names them. Libraries on the "
             "plugin path whose name is that of the type need not be listed");
}

}  // namespace moiety::config
