// Loss and gradient in one pass over a block of rows; the logits of a batch are never whole.
#pragma once

#include <cstdint>
#include <span>

#include <moiety/component.h>

namespace moiety {

struct ObjectiveInputs {
  ConstTensorView logits;          // [R, V]
  ConstTensorView targets;         // i32 [R]; below 0 = no loss for this row
  ConstTensorView loss_mask;       // f32 [R]; empty = 1
  ConstTensorView teacher_logits;  // [R, V]; empty unless wants_teacher, and in evaluation
  ConstTensorView denominator;     // f32 [1], device: sum of the mask over the train batch
};

class MOIETY_API Objective : public Component {
 public:
  static constexpr ComponentKind kKind = ComponentKind::kObjective;
  static constexpr uint32_t kInterface = 1;
  ~Objective() override;

  /// Host, between steps. A change of the answer makes the core load or drop the teacher
  /// (<moiety/teacher.h>) and capture its graph again.
  virtual bool wants_teacher(int64_t /*batch*/) const { return false; }
  virtual std::vector<std::string> metrics() const { return {}; }
  /// Writes row_loss, and grad times mask, exec.step()->loss_scale and 1 / denominator. metrics is
  /// +=: the core calls this block by block, and reads each one as a mean over the rows that count
  /// (ops::add_row_mean). An evaluation has no grad and no teacher_logits.
  virtual void evaluate(Exec&, const ObjectiveInputs&, TensorView row_loss /*f32 [R]*/,
                        TensorView grad /*[R, V], may alias logits; empty in evaluation*/,
                        TensorView metrics /*f32 [M]*/) const = 0;
};

}  // namespace moiety
