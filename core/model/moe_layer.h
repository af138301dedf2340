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
#include "core/model/moe_losses.h"
#include "core/model/router.h"

namespace moiety {

/// What makes a layer. `dense` is null unless shape.dense asks for one.
struct MoeParts {
  LayerShape shape;
  RouterConfig router;
  std::shared_ptr<GatingPolicy> gate;
  std::shared_ptr<ExpertType> expert, dense;
  double load_noise = 0;  // deviation in the load loss; 0 = 1 / experts
};

struct MoeInput {
  ConstTensorView x;           // [T, D] in the compute dtype
  ConstTensorView token_mask;  // u8 [T], 0 = padding, or empty
  int64_t batch = 1;           // sequences of T / batch tokens each
  bool training = true;
  const AllRows* all = nullptr;    // the T rows as one segment
  ConstTensorView token_ids = {};  // i32 [T], or empty
};

/// All that one forward leaves for its backward. `shared_pool`, of all layers' tokens, is set
/// before forward where there is one: then its owner adds that loss when all layers are in.
struct MoeCall {
  explicit MoeCall(Arena& arena) : MoeCall(arena, arena) {}
  /// The routing lies in `routing`, what the experts and the dense branch keep in `experts`.
  MoeCall(Arena& routing, Arena& experts)
      : memory(&routing), gate(routing), expert(experts), dense(experts) {}
  Arena* memory;
  const ops::BalancePool* shared_pool = nullptr;
  ops::BalancePool pool;  // of this layer and micro-batch
  MoeTotals totals;
  TensorView global_loss;  // f32 [1]: where backward adds the loss over the train batch, or empty
  MoeInput input;
  GatingInputs gating;
  PlanShape shape;
  RoutingPlan plan;
  ops::Permutation slots;
  ExpertBatch batch;
  Saved::Impl gate, expert;
  DenseCall dense;
};

class MOIETY_API MoeLayer {
 public:
  /// Declares "prefix.router.weight" f32 [D, E], "prefix.gate.*", "prefix.experts.*" and what the
  /// dense branch needs. `dims` has the sizes of parts.shape.
  MoeLayer(ParameterTable& table, const std::string& prefix, const ModelDims& dims, MoeParts parts);

  /// Writes out [T, D].
  void forward(Exec& exec, const MoeInput& input, const MoeSums& sums, MoeCall& call,
               TensorView out) const;
  /// Computes again what the experts and the dense branch keep of a forward on x [T, D], whose
  /// memory was dropped; the routing is that forward's. Writes out again too.
  void compute_again(Exec& exec, ConstTensorView x, MoeCall& call, TensorView out) const;
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
  /// Everything behind the dispatch.
  void compute(Exec& exec, MoeCall& call, TensorView out) const;
  void add_losses(Exec& exec, const MoeSums& sums, MoeCall& call) const;
  RoutedCall routed(const MoeCall& call) const;
  /// dshares = gradient of the balancing losses; logs the one over the train batch.
  void share_gradient(Exec& exec, const MoeLossWeights& weights, MoeCall& call,
                      TensorView dshares) const;
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
  double load_noise_;
};

}  // namespace moiety
