// The model that an objective learns from: forward only, beside the student, on the same stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/device/exec_impl.h"
#include "core/model/model.h"
#include "core/train/teacher_source.h"

namespace moiety {

class MOIETY_API Teacher final : public TeacherLogits {
 public:
  /// Builds the model on `context` and loads its weights; noise is drawn from a key of its own.
  Teacher(const TeacherSource& source, uint64_t student_seed, PluginRegistry& plugins,
          DeviceContext& context);
  ~Teacher() override;

  /// Runs the teacher on the micro-batch. `exec` is the student's: its step and its rows.
  void forward(Exec& exec, const MicroBatch& batch);
  void logits(int64_t begin, TensorView out) const override;

  /// "runs/a/checkpoints/step_00000100.h5, 5.97 M parameters, eval mode"
  const std::string& description() const { return description_; }

 private:
  bool training_;
  std::string description_;
  Arena scratch_;
  Exec::Impl impl_;
  mutable Exec exec_{&impl_};
  std::unique_ptr<Model> model_;
  TensorView features_;  // [T, D] of the micro-batch in flight
};

}  // namespace moiety
