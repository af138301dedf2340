// Decides which experts see which tokens, and with what weight.
#pragma once

#include <cstdint>

#include <moiety/component.h>

namespace moiety {

/// Codes in RoutingPlan::index: e >= 0 is expert e, -1 - e a choice of e that was dropped.
inline constexpr int32_t kUnused = INT32_MIN;
MOIETY_HD constexpr int32_t dropped(int32_t expert) { return -1 - expert; }
/// The choice before dropping, or kUnused.
MOIETY_HD constexpr int32_t choice(int32_t index) {
  return index >= 0 || index == kUnused ? index : -1 - index;
}

/// [T, K]: slot (t, k) names an expert. [E, C]: slot (e, c) names a token, or is kUnused.
enum class PlanLayout : uint8_t { kTokenMajor, kExpertMajor };

struct PlanShape {
  PlanLayout layout = PlanLayout::kTokenMajor;
  int64_t slots = 1;       // K or C
  int64_t capacity = 0;    // slots of an expert over these tokens; 0 = dropless
  int32_t aux_losses = 0;  // A
  int32_t metrics = 0;     // M
  bool writes_position = false, writes_scores = false, reads_x = false;
};

struct GatingInputs {
  ConstTensorView logits;      // f32 [T, E]
  ConstTensorView token_mask;  // u8 [T], 0 = padding; empty = all tokens count
  ConstTensorView x;           // [T, D], only with reads_x
  int64_t batch = 0;           // B sequences of T / B tokens each
  bool training = true;
  ConstTensorView token_ids;  // i32 [T]; empty in models that read no tokens
};

struct RoutingPlan {
  TensorView index;      // i32 [T, K] or [E, C]; every slot of a padded token is kUnused
  TensorView weight;     // f32, like index; ignored where index < 0
  TensorView position;   // i32, like index; place within the expert, unique and below capacity
  TensorView scores;     // f32 [T, E], for the core's balancing losses
  TensorView aux_loss;   // f32 [A], raw: coefficients are the core's
  TensorView metrics;    // f32 [M], for the log
  int64_t capacity = 0;  // as plan_shape said
};

struct RoutingGrad {         // what enters backward
  ConstTensorView weight;    // f32, like index; 0 where index < 0
  ConstTensorView aux_loss;  // f32 [A]
  ConstTensorView scores;    // f32 [T, E], only with writes_scores
};

struct GatingGrad {   // what backward writes, all of it
  TensorView logits;  // f32 [T, E]; 0 for padded tokens
  TensorView x;       // [T, D], only with reads_x
};

class MOIETY_API GatingPolicy : public Component {
 public:
  static constexpr ComponentKind kKind = ComponentKind::kGating;
  static constexpr uint32_t kInterface = 1;
  ~GatingPolicy() override;

  /// Host only. Throws Error for sizes that the definition rules out.
  virtual PlanShape plan_shape(int64_t tokens, int64_t experts, bool training) const = 0;
  virtual void forward(Exec&, const GatingInputs&, const Params&, const RoutingPlan&,
                       Saved&) const = 0;
  virtual void backward(Exec&, const GatingInputs&, const Params&, const RoutingPlan&, const Saved&,
                        const RoutingGrad&, const GatingGrad&) const = 0;
  /// After the optimizer: steers a buffer by the choices of the whole train batch, f32 [E].
  virtual void end_step(Exec&, const Params&, ConstTensorView /*load*/) const {}
};

}  // namespace moiety
