// One Mixture-of-Experts layer: router, gate, dispatch, experts, combine, dense branch, and back.
//
//   MoeCall call(memory);                    // one per forward in flight
//   layer.forward(exec, input, sums, call, out);
//   layer.backward(exec, weights, call, dout, dx);
//
// Nothing waits for the device. Everything that backward reads lies in the call's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <moiety/expert_type.h>
#include <moiety/gating_policy.h>

#include "core/model/dense_branch.h"
#include "core/model/router.h"
#include "core/ops/balance_pool.h"

namespace moiety {

/// What makes a layer. `dense` is null unless shape.dense asks for one.
struct MoeParts {
  LayerShape shape;
  RouterConfig router;
  std::shared_ptr<GatingPolicy> gate;
  std::shared_ptr<ExpertType> expert, dense;
};

struct MoeInput {
  ConstTensorView x;           // [T, D] in the compute dtype
  ConstTensorView token_mask;  // u8 [T], 0 = padding, or empty
  int64_t batch = 1;           // sequences of T / batch tokens each
  bool training = true;
  const AllRows* all = nullptr;    // the T rows as one segment
  ConstTensorView token_ids = {};  // i32 [T], or empty
};

/// Where a call adds its statistics and raw losses, all f32; an empty view is left out.
struct MoeSums {
  ops::RoutingSums routing;    // see StepSums; all of it or nothing
  TensorView aux, balance, z;  // [1]
};

/// Coefficients of the auxiliary losses in the gradient, 1 / micro-batches included.
struct MoeLossWeights {
  double gate = 0, balance = 0, z = 0;
};

/// All that one forward leaves for its backward. `pool` is the layer's own unless set before
/// forward (balancing over all layers): then its owner adds the loss when all layers are in.
struct MoeCall {
  explicit MoeCall(Arena& arena) : memory(&arena), gate(arena), expert(arena), dense(arena) {}
  Arena* memory;
  const ops::BalancePool* shared_pool = nullptr;
  ops::BalancePool pool;
  MoeInput input;
  GatingInputs gating;
  PlanShape shape;
  RoutingPlan plan;
  ops::Permutation slots;
  ExpertBatch batch;
  Saved::Impl gate, expert;
  DenseCall dense;
};

/// A zeroed pool of `experts` in `memory`.
MOIETY_API ops::BalancePool make_pool(Exec& exec, Arena& memory, int64_t experts);

class MOIETY_API MoeLayer {
 public:
  /// Declares "prefix.router.weight" f32 [D, E], "prefix.gate.*", "prefix.experts.*" and what the
  /// dense branch needs. `dims` has the sizes of parts.shape.
  MoeLayer(ParameterTable& table, const std::string& prefix, const ModelDims& dims, MoeParts parts);

  /// Writes out [T, D].
  void forward(Exec& exec, const MoeInput& input, const MoeSums& sums, MoeCall& call,
               TensorView out) const;
  /// Writes dx [T, D] and all parameters' gradients. dx may not alias dout.
  void backward(Exec& exec, const MoeLossWeights& weights, MoeCall& call, ConstTensorView dout,
                TensorView dx) const;
  /// `load` f32 [E]: choices of the train batch.
  void end_step(Exec& exec, ConstTensorView load) const;

  const ModelDims& dims() const { return dims_; }
  double flops_per_token() const;   ///< forward, of what every token passes: router, dense branch
  double flops_per_choice() const;  ///< forward, of one choice

 private:
  void plan(Exec& exec, MoeCall& call) const;
  void dispatch(Exec& exec, MoeCall& call) const;
  void add_losses(Exec& exec, const MoeSums& sums, MoeCall& call) const;
  /// dlogits of the gate and of the core's losses.
  void router_gradient(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                       ConstTensorView dweight, TensorView dlogits, TensorView dgate_x) const;
  void gate_gradient(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                     ConstTensorView dweight, ConstTensorView dscores, const GatingGrad& out) const;

  ModelDims dims_;
  std::shared_ptr<GatingPolicy> gate_;
  std::shared_ptr<ExpertType> expert_;
  std::string gate_name_, expert_name_;
  Router router_;
  Params::Impl *gate_params_, *expert_params_;
  std::unique_ptr<DenseMix> dense_;
};

}  // namespace moiety
