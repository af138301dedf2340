// Saving, evaluating, and what a finished run prints.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/base/strings.h"
#include "core/train/generator.h"
#include "core/train/machine_info.h"
#include "core/train/reports.h"
#include "core/train/trainer.h"

namespace moiety {

CheckpointInfo Trainer::checkpoint_info() const {
  const ops::StepControl control = runner_.read_control();
  CheckpointInfo info;
  info.state.batch = control.step.batch;
  info.state.update = control.step.update;
  info.state.tokens = tokens_;
  info.state.seconds = seconds();
  info.state.sample = loader_->cursor();
  info.state.seed = config_.run.seed;
  info.state.scaler = control.scaler;
  info.state.bad_steps = bad_steps_;
  info.resolved_yaml = config_.resolved_yaml;
  info.moiety_version = moiety_version();
  info.plugins = plugins_;
  return info;
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  checkpoints_.save(step_, session_.model->parameters(), checkpoint_info());
  saved_step_ = step_;
  log::debug(fmt::format("saved {}", checkpoints_.file_of(step_).string()));
}

void Trainer::evaluate() {
  const std::optional<Evaluation> evaluation = evaluator_.run(runner_.exec());
  if (!evaluation) {
    say("no validation samples for one micro-batch: nothing to evaluate");
    return;
  }
  validation_loss_ = evaluation->loss;
  say(fmt::format("step {}: {}", step_, evaluation_report(*evaluation)));
  Json::Array load;
  for (const LayerLoad& layer : evaluation->numbers.layers) {
    load.push_back(Json::Array(layer.chosen.begin(), layer.chosen.end()));
  }
  Json row = Json::Object{{"step", step_},
                          {"validation_loss", evaluation->loss},
                          {"validation_rows", evaluation->rows},
                          {"validation_load", std::move(load)}};
  for (size_t i = 0; i < evaluation->metrics.size(); ++i) {
    row.set("validation_" + evaluation->metrics[i], evaluation->numbers.metrics.at(i));
  }
  directory_.append_metrics(row);
}

void Trainer::finish() {
  const double spent = seconds();
  const double pace =
      static_cast<double>(tokens_ - first_tokens_) / std::max(spent - seconds_before_, 1e-9);
  if (config_.checkpoint.at_end) save();
  if (config_.eval.at_end) evaluate();
  if (validation_loss_) {
    const std::string entropies = entropy_report(config_, *validation_loss_);
    if (!entropies.empty()) say(entropies);
  }
  if (config_.eval.sample_bytes > 0) print_sample();
  write_status("finished");
  const std::string folder = directory_.path().string(), file = config_.file.string();
  std::string next =
      fmt::format("finished after {} steps in {}, {} tokens/s, peak memory {}; next:\n", step_,
                  clock_text(spent), short_count(pace),
                  short_bytes(static_cast<double>(session_.context->peak_bytes())));
  if (saved_step_ >= 0) {
    if (config_.model.type == "gpt") {
      next += fmt::format("  {} generate {} --prompt '#include <'\n", program_, folder);
    }
    next += fmt::format("  {} train {} --run-dir {} --resume run.steps={}\n", program_, file,
                        folder, 2 * step_);
    next +=
        fmt::format("  {} ckpt inspect {}\n", program_, checkpoints_.file_of(saved_step_).string());
  }
  say(next + fmt::format("  numbers of every step: {}", directory_.metrics_file().string()));
}

void Trainer::print_sample() {
  const ModelConfig& model = config_.model;
  Generator generator(*session_.model, runner_.exec(), model.sequence_length, model.vocab_size);
  // A text that begins with a line break begins like a line.
  const std::string prompt = config_.eval.sample_prompt.empty() ? "\n" : config_.eval.sample_prompt;
  const std::vector<int32_t> tokens =
      generator.generate(bytes_to_tokens(prompt), config_.eval.sample_bytes,
                         config_.eval.temperature, config_.run.seed);
  if (model.vocab_size <= 256) {
    say(fmt::format("sample:\n{}", printable(prompt + tokens_to_bytes(tokens))));
    return;
  }
  std::string ids;
  for (const int32_t token : tokens) ids += fmt::format(" {}", token);
  say("sample, as token ids:" + ids);
}

}  // namespace moiety
