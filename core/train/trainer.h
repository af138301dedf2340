// The training loop: steps, evaluation, checkpoints, limits, signals, divergence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "core/checkpoint/checkpoint.h"
#include "core/train/balance_watch.h"
#include "core/train/batch_loader.h"
#include "core/train/evaluator.h"
#include "core/train/profile.h"
#include "core/train/progress.h"
#include "core/train/routing_log.h"
#include "core/train/run_directory.h"
#include "core/train/step_reader.h"
#include "core/train/stop_signal.h"
#include "core/train/teacher.h"

namespace moiety {

enum class Outcome : uint8_t { kFinished, kDiverged, kInterrupted };

struct TrainOptions {
  bool resume = false;  // from the newest valid checkpoint of the run directory, if there is one
  bool live = false;    // standard output is a terminal
  std::string program = "moiety";  // what to type for this binary
};

class MOIETY_API Trainer {
 public:
  /// Builds everything and, with `resume`, loads the state. Throws ConfigError, PluginError, Error.
  Trainer(const RunConfig& config, PluginRegistry& plugins, RunDirectory directory,
          const TrainOptions& options);
  ~Trainer();
  /// Trains to the first limit. A failure is noted in status.json and thrown on.
  Outcome run();

 private:
  /// False where there is no checkpoint: the run begins anew.
  bool resume_from_checkpoint();
  Outcome loop();
  bool limit_reached() const;
  void one_step();
  /// Loads or drops the teacher when the objective's wish changes. Says whether it did.
  bool update_teacher();
  void first_step();
  void profile_step();
  void report_profile();
  void on_record(StepRecord record);
  bool is_bad(const StepRecord& record) const;
  CheckpointInfo checkpoint_info() const;
  void save();
  void evaluate();
  void finish();
  void print_sample();
  void fail(const std::string& why);
  void write_status(const std::string& state, const std::string& message = "");
  double seconds() const;
  bool due(int64_t interval) const { return interval > 0 && step_ % interval == 0; }
  void say(const std::string& text);

  const RunConfig& config_;
  PluginRegistry& registry_;
  RunDirectory directory_;
  Session session_;
  std::vector<PluginIdentity> plugins_;
  BatchLayout layout_;
  std::optional<RoutingLog> routing_;
  StepRunner runner_;
  std::unique_ptr<Teacher> teacher_;  // while the objective wants one
  CheckpointFolder checkpoints_;
  Evaluator evaluator_;
  std::optional<BatchLoader> loader_;
  std::optional<StepReader> reader_;
  std::optional<Progress> progress_;
  BalanceWatch balance_;
  std::string program_;
  bool graph_ = false, diverged_ = false;
  int64_t step_ = 0, tokens_ = 0, bad_steps_ = 0, cursor_ = 0;
  int64_t saved_step_ = -1;
  int64_t first_step_ = 0, first_tokens_ = 0;  // of this process
  double seconds_before_ = 0, started_ = 0, status_at_ = 0;
  StepRecord last_;
  StepProfile profile_;
  std::optional<double> validation_loss_;
};

}  // namespace moiety
