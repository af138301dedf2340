// Construction and the loop. Records, saving and the end are in trainer_*.cc.
#include "core/train/trainer.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/train/graph_mode.h"
#include "core/train/machine_info.h"
#include "core/train/reports.h"
#include "core/train/schedule.h"

namespace moiety {

Trainer::Trainer(const RunConfig& config, PluginRegistry& plugins, RunDirectory directory,
                 const TrainOptions& options)
    : config_(config),
      registry_(plugins),
      directory_(std::move(directory)),
      session_(make_session(config, plugins)),
      plugins_(plugin_identities(plugins)),
      layout_(train_shape(config), *session_.data, config.model.vocab_size,
              end_of_document_token(*session_.objective)),
      runner_({session_.context.get(), session_.model.get(), session_.objective.get(),
               session_.optimizer.get(), &layout_},
              config),
      checkpoints_(directory_.checkpoints(), config.checkpoint.keep_last),
      evaluator_(session_, config),
      program_(options.program) {
  log::add_file(directory_.log_file());
  directory_.write_config(config, machine_info(*session_.context, plugins_));
  log::info("run directory " + directory_.path().string());
  log::info("\n" + start_report(config, session_, plugins_));
  for (const std::string& text : config.accepted) log::info(text);
  for (const std::string& text : config.warnings) log::warning(text);
  if (config.fp8.enabled && session_.context->compute_capability() != 90) {
    log::warning(
        "fp8 is emulated on this device: operands are rounded to 8-bit floats, the products are no "
        "faster; compute capability 9.0 multiplies them as they are");
  }
  const bool resumed = options.resume && resume_from_checkpoint();
  if (!resumed) load_first_weights(config, session_.model->parameters());
  directory_.truncate_metrics(step_);
  update_teacher();
  graph_ = captures_steps(config_, registry_, *session_.context);

  BatchLoader::Options order;
  order.seed = config.run.seed;
  order.cursor = cursor_;
  order.reduction =
      config.run.batch_mean_of_means ? LossReduction::kMicroBatch : LossReduction::kTrainBatch;
  loader_.emplace(*session_.data, layout_, order);
  progress_.emplace(config, options.live, step_, tokens_, seconds_before_);
  reader_.emplace(*session_.context, runner_, config,
                  [this](const StepRecord& record) { on_record(record); });
  first_step_ = step_;
  first_tokens_ = tokens_;
  // Last, when nothing can be refused any more: a recording that exists is never written over.
  if (logs_routing(config)) {
    routing_.emplace(config.moe.router, *session_.context);
    runner_.set_routing(&*routing_);
  }
}

Trainer::~Trainer() = default;

bool Trainer::resume_from_checkpoint() {
  checkpoints_.remove_leftovers();
  const auto file = checkpoints_.newest_valid([](const auto& broken, const std::string& why) {
    log::warning(fmt::format("{}: {}; trying the one before", broken.string(), why));
  });
  if (!file) {
    log::info("no checkpoint to resume from: the run begins anew");
    return false;
  }
  const RunState state = load_checkpoint(*file, session_.model->parameters()).state;
  if (state.seed != config_.run.seed) {
    throw ConfigError(
        fmt::format("{}: saved with run.seed {}, the configuration has {}; a resumed "
                    "run keeps its seed: set run.seed={}",
                    file->string(), state.seed, config_.run.seed, state.seed));
  }
  ops::StepControl control = initial_control(config_);
  control.step.batch = state.batch;
  control.step.update = state.update;
  control.skipped = state.batch - (state.update - 1);
  if (config_.precision == Precision::kF16)
    control.scaler = resumed_loss_scaler(config_, state.scaler);
  runner_.write_control(control);
  step_ = saved_step_ = state.batch;
  tokens_ = state.tokens;
  seconds_before_ = state.seconds;
  cursor_ = state.sample;
  bad_steps_ = state.bad_steps;
  log::info(fmt::format("resumed from {} at step {}", file->string(), step_));
  return true;
}

double Trainer::seconds() const { return seconds_before_ + now_seconds() - started_; }

bool Trainer::limit_reached() const {
  const RunSection& run = config_.run;
  return (run.steps > 0 && step_ >= run.steps) || (run.tokens > 0 && tokens_ >= run.tokens) ||
         (run.seconds > 0 && seconds() >= run.seconds);
}

Outcome Trainer::run() {
  started_ = now_seconds();
  try {
    write_status("running");
    const Outcome outcome = loop();
    if (outcome == Outcome::kFinished) finish();
    log::flush();
    return outcome;
  } catch (const PluginError& e) {
    const std::string text = fmt::format("step {}: {}", step_ + 1, e.what());
    fail(text);
    throw PluginError(text);
  } catch (const std::exception& e) {
    fail(e.what());
    throw;
  }
}

void Trainer::fail(const std::string& why) {
  progress_->finish_line();
  write_status("failed", why);
  log::flush();
}

Outcome Trainer::loop() {
  const StopSignal stop;
  while (!diverged_ && !stop.requested() && !limit_reached()) {
    one_step();
    if (due(config_.checkpoint.interval) || due(config_.eval.interval)) {
      reader_->poll(/*all=*/true);
      if (diverged_) break;
    }
    if (due(config_.checkpoint.interval)) save();
    if (due(config_.eval.interval) && !limit_reached()) evaluate();
  }
  reader_->poll(/*all=*/true);
  progress_->finish_line();
  if (profile_.steps() > 0 && profile_.steps() < config_.run.profile) report_profile();
  if (diverged_) {
    // Beside the numbered checkpoints: --resume goes on from the last good one.
    const std::filesystem::path file = directory_.checkpoints() / "diverged.h5";
    save_checkpoint(file, session_.model->parameters(), checkpoint_info());
    log::error(
        fmt::format("diverged at step {}: the loss was not finite or above the limit for {} "
                    "steps; the state is in {}",
                    last_.step, bad_steps_, file.string()));
    write_status("diverged");
    return Outcome::kDiverged;
  }
  if (stop.requested() && !limit_reached()) {
    save();
    write_status("interrupted");
    log::info(fmt::format("signal {}: stopped after step {} and saved; go on with --resume",
                          stop.number(), step_));
    return Outcome::kInterrupted;
  }
  return Outcome::kFinished;
}

void Trainer::one_step() {
  if (update_teacher()) graph_ = captures_steps(config_, registry_, *session_.context);
  loader_->next(*session_.context, runner_.batch());
  if (routing_) routing_->begin_step(step_ + 1);
  // The first step sizes the arenas; the ones after it are typical.
  if (step_ == first_step_) {
    first_step();
  } else if (profile_.steps() < config_.run.profile) {
    profile_step();
  } else {
    runner_.run(graph_);
  }
  ++step_;
  tokens_ += layout_.shape().tokens();
  reader_->push(step_, tokens_);
  reader_->poll(/*all=*/false);
}

}  // namespace moiety
