// What the loop does with the numbers of a step, and the status file.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "core/base/files.h"
#include "core/base/log.h"
#include "core/train/memory_report.h"
#include "core/train/reports.h"
#include "core/train/trainer.h"

namespace moiety {

namespace {
constexpr double kStatusInterval = 1;  // seconds between two states of status.json
}

bool Trainer::is_bad(const StepRecord& record) const {
  if (!std::isfinite(record.loss)) return true;
  if (config_.run.diverged_loss > 0 && record.loss > config_.run.diverged_loss) return true;
  // With fp16 a skipped batch is the loss scaler at work.
  return record.skipped && config_.precision != Precision::kF16;
}

void Trainer::on_record(StepRecord record) {
  record.loss = total_loss(record.numbers, config_.moe);
  bad_steps_ = is_bad(record) ? bad_steps_ + 1 : 0;
  diverged_ = diverged_ || bad_steps_ >= config_.run.diverged_steps || record.scaler_exhausted;
  if (record.scaler_exhausted) {
    say("the loss scale overflowed at its minimum: the run cannot go on in fp16 "
        "(fp16.raise_error_at_min_scale: false skips such steps; bf16 needs no scale)");
  }
  if (record.step % config_.monitor.interval == 0 || record.step == config_.run.steps) {
    directory_.append_metrics(
        to_json(record, session_.objective->metrics(), session_.model->moe_layer_numbers()));
  }
  if (const auto warning = balance_.observe(record)) {
    progress_->finish_line();
    log::warning(*warning);
  }
  last_ = record;
  progress_->show(record, seconds());
  if (seconds() - status_at_ >= kStatusInterval) write_status("running");
}

void Trainer::write_status(const std::string& state, const std::string& message) {
  status_at_ = seconds();
  Json status = Json::Object{{"state", state},
                             {"step", last_.step > 0 ? last_.step : step_},
                             {"steps", config_.run.steps},
                             {"tokens", tokens_},
                             {"loss", last_.loss},
                             {"tokens_per_second", last_.tokens_per_second},
                             {"imbalance", worst_imbalance(last_.numbers)},
                             {"drop_rate", mean_drop_rate(last_.numbers)},
                             {"seconds", seconds()},
                             {"process", static_cast<int64_t>(getpid())}};
  if (validation_loss_) status.set("validation_loss", *validation_loss_);
  if (saved_step_ >= 0) status.set("checkpoint", checkpoints_.file_of(saved_step_).string());
  if (!message.empty()) status.set("message", message);
  directory_.write_status(status);
}

void Trainer::say(const std::string& text) {
  progress_->finish_line();
  log::info(text);
}

void Trainer::first_step() {
  const MemoryReport memory = run_first_step(config_, session_, runner_, graph_);
  say("memory after the first step, which has sized everything:\n" + memory_table(memory));
  directory_.write_memory(to_json(memory));
}

void Trainer::profile_step() {
  PhaseTimer timer(*session_.context);
  runner_.run(/*graph=*/false, &timer);
  profile_.add(step_ + 1, timer);
  if (profile_.steps() == config_.run.profile) report_profile();
}

void Trainer::report_profile() {
  const std::string table = profile_.table(layout_.shape().tokens());
  say("\n" + table);
  replace_file(directory_.path() / "profile.txt", table);
  replace_file(directory_.path() / "profile_trace.json", profile_.chrome_trace());
}

}  // namespace moiety
