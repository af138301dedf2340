// The function that an expert computes, for all experts of a rank at once.
#pragma once

#include <cstdint>

#include <moiety/component.h>

namespace moiety {

/// Which slots belong together: segment g is slots [start[g], start[g] + count[g]) and belongs to
/// local expert g % L. Slots in no segment are padding: nobody reads or needs them.
struct Segments {
  ConstTensorView start, count;         // i32 [G], device
  const int32_t* host_count = nullptr;  // the same counts when the core knows them
};

struct ExpertBatch : Segments {
  ConstTensorView x;  // [R, D], tokens where they lie
  ConstTensorView
      row;  // i32 [N]: slot -> row of x and dout; -1 in padding; empty = slot n is row n
  ConstTensorView weight;  // f32 [N]: combine weight, for backward; empty = all 1
  ConstTensorView row_id;  // i64 [R]: global rows, for noise; empty = this call's tokens
};

enum class DenseBranch : uint8_t { kNone, kAdd, kCoefficient };

struct LayerShape {
  int64_t experts = 1;  // E
  int64_t hidden = 0;   // H
  DenseBranch dense = DenseBranch::kNone;
  int64_t dense_hidden = 0;
  bool dense_gate = false;  // sigmoid gate on an added branch
  // In a request: this layer's number among the MoE layers, from 0, and how many there are.
  int64_t moe_layer = 0, moe_layers = 1;
};

class MOIETY_API ExpertType : public Component {
 public:
  static constexpr ComponentKind kKind = ComponentKind::kExpert;
  static constexpr uint32_t kInterface = 1;
  ~ExpertType() override;

  /// Asked on a probe instance, before the sizes of any layer are fixed.
  virtual LayerShape layer_shape(int64_t /*layer*/, int64_t /*layers*/,
                                 const LayerShape& requested) const {
    return requested;
  }
  /// y = f(x[row]), unweighted. The core combines.
  virtual void forward(Exec&, const ExpertBatch&, const Params&, TensorView y /*[N, D]*/,
                       Saved&) const = 0;
  /// Writes dx and dweight of every slot in a segment and the gradients of the parameters as their
  /// grad_mode() says. dout belongs to the weighted sum, so dx carries the slot's weight.
  /// dweight is empty where nobody asks for it.
  virtual void backward(Exec&, const ExpertBatch&, const Params&, const Saved&,
                        ConstTensorView dout /*[R, D]*/, TensorView dx /*[N, D]*/,
                        TensorView dweight /*f32 [N]*/) const = 0;
  virtual double flops_per_token() const = 0;  ///< forward, for the log
};

}  // namespace moiety
