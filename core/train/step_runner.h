// One training step on the device, from the batch in place to the updated parameters, as a stream
// of calls or as one captured graph. Nothing in it waits for the device.
#pragma once

#include <memory>
#include <optional>

#include "core/device/phase_timer.h"
#include "core/train/batch_layout.h"
#include "core/train/step_sums.h"
#include "core/train/teacher.h"

namespace moiety {

class MOIETY_API StepRunner {
 public:
  struct Parts {
    DeviceContext* context = nullptr;
    Model* model = nullptr;
    const Objective* objective = nullptr;
    Optimizer* optimizer = nullptr;
    const BatchLayout* layout = nullptr;
    const RankSum* ranks = nullptr;  // of the data-parallel ranks; null = one rank
  };
  /// Begins with initial_control(config). Allocates the optimizer's state and binds it; addresses
  /// are fixed for the whole run.
  StepRunner(const Parts& parts, const RunConfig& config);
  ~StepRunner();

  void* batch() const { return batch_.data(); }  ///< device, laid out as `layout` says
  /// Runs a step on the batch in place. With `graph` the second call captures and later ones
  /// replay; a call with a timer runs as a stream.
  void run(bool graph, PhaseTimer* timer = nullptr);

  /// Every later step shows its routing to `tap` and runs as a stream. The tap outlives the runner.
  void set_routing(RoutingTap* tap) { exec_impl_.routing = tap; }
  /// From the next step on; null = none. Another answer means another graph. Waits for the device.
  void set_teacher(Teacher* teacher);

  Exec& exec() { return exec_; }
  const StepSumsBuffer& sums() const { return sums_; }
  const ops::StepControl* control() const {  ///< device
    return static_cast<const ops::StepControl*>(control_.data());
  }
  /// Host copy of the control; waits for the device.
  ops::StepControl read_control() const;
  void write_control(const ops::StepControl& control);
  const SumsShape& shape() const { return shape_; }
  const Arena& scratch() const { return scratch_; }  ///< of the ops

 private:
  void body();
  void phase_forward_backward();
  MicroBatch micro_batch(int64_t m);
  void count_batch();
  Parts parts_;
  SumsShape shape_;
  StepSumsBuffer sums_;
  Buffer batch_, control_, row_maps_, norm_, totals_memory_;
  BatchTotals totals_;
  Arena scratch_;
  Exec::Impl exec_impl_;
  Exec exec_{&exec_impl_};
  std::optional<ops::TensorList> gradients_;
  Teacher* teacher_ = nullptr;
  std::optional<Graph> graph_;
  bool warm_ = false;
};

/// The control of a fresh run.
MOIETY_API ops::StepControl initial_control(const RunConfig& config);

}  // namespace moiety
