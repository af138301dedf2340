// Small components made of SDK ops, so that tests of the model need no plugin.
#pragma once

#include <cstdint>

#include <moiety/feed_forward.h>
#include <moiety/ops.h>

namespace moiety {

/// Top-k of the softmax, weights not renormalised, Switch's loss. Options pick what a gate may do;
/// with reads_x the loss is |x|^2 / 2 instead.
struct TestGateForm {
  int64_t k = 2, capacity = 0, eval_capacity = 0;
  bool aux = true, scores = false, reads_x = false;
  double jitter = 0;
};

class TestGate : public GatingPolicy {
 public:
  TestGate(const TestGateForm& form, const ModelDims& dims) : form_(form), dims_(dims) {}
  void declare(Declarations& to) const override { to.buffer("load", DType::kF32, {dims_.experts}); }
  const void* facet(std::string_view name) const override {
    return name == "router_input_jitter" ? &form_.jitter : nullptr;
  }
  PlanShape plan_shape(int64_t, int64_t experts, bool training) const override {
    if (form_.k > experts) throw Error("k exceeds the experts");
    PlanShape shape;
    shape.slots = form_.k;
    shape.capacity = training ? form_.capacity : form_.eval_capacity;
    shape.aux_losses = form_.aux ? 1 : 0;
    shape.writes_position = true;
    shape.writes_scores = form_.scores;
    shape.reads_x = form_.reads_x;
    return shape;
  }
  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const TensorView p = saved.keep("p", DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::softmax_rows(exec, in.logits, p);
    ops::topk_rows(exec, p, in.token_mask, plan.index, plan.weight);
    ops::assign_positions(exec, ops::SlotOrder::kToken, in.logits.dim(1), plan.capacity, plan.index,
                          plan.position);
    if (form_.aux) ops::balance_loss(exec, p, plan.index, plan.aux_loss);
    if (form_.reads_x) ops::dot(exec, in.x, in.x, 0.5, plan.aux_loss);
    if (form_.scores) ops::copy(exec, p, plan.scores);
  }
  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dp = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    ops::topk_rows_backward(exec, plan.index, grad.weight, dp);
    if (form_.aux && !form_.reads_x) {
      ops::balance_loss_backward(exec, plan.index, grad.aux_loss, dp);
    }
    if (form_.reads_x) {
      ops::fill(exec, out.x, 0);
      for (int64_t t = 0; t < in.x.dim(0); ++t) {  // the scalar times row t
        ops::add_to_rows(exec, in.x.slice(0, t, 1).reshape({in.x.dim(1)}), grad.aux_loss, 1, {},
                         out.x.slice(0, t, 1));
      }
    }
    if (form_.scores) ops::add(exec, dp, grad.scores, dp);
    ops::softmax_rows_backward(exec, saved["p"], dp, out.logits);
  }
  void end_step(Exec& exec, const Params& params, ConstTensorView load) const override {
    ops::copy(exec, load, params["load"].value());
  }

 private:
  TestGateForm form_;
  ModelDims dims_;
};

/// Expert e takes C tokens of a fixed pattern (expert-major), weighted by its probability. CPU
/// only.
class PatternGate final : public GatingPolicy {
 public:
  explicit PatternGate(int64_t slots) : slots_(slots) {}
  PlanShape plan_shape(int64_t, int64_t, bool) const override {
    PlanShape shape;
    shape.layout = PlanLayout::kExpertMajor;
    shape.slots = slots_;
    return shape;
  }
  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved& saved) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView p = saved.keep("p", DType::kF32, {T, E});
    ops::softmax_rows(exec, in.logits, p);
    for (int64_t e = 0; e < E; ++e) {
      for (int64_t c = 0; c < slots_; ++c) {
        const int64_t t = (e + 3 * c) % T;
        plan.index.rows<int32_t>()[e][c] = c == 1 ? kUnused : static_cast<int32_t>(t);
        plan.weight.rows<float>()[e][c] = p.rows<float>()[t][e];
      }
    }
  }
  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved& saved, const RoutingGrad& grad, const GatingGrad& out) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const TensorView dp = exec.scratch(DType::kF32, {T, E});
    ops::fill(exec, dp, 0);
    for (int64_t e = 0; e < E; ++e) {
      for (int64_t c = 0; c < slots_; ++c) {
        const int32_t t = plan.index.rows<int32_t>()[e][c];
        if (t >= 0) dp.rows<float>()[t][e] += grad.weight.rows<float>()[e][c];
      }
    }
    ops::softmax_rows_backward(exec, saved["p"], dp, out.logits);
  }

 private:
  int64_t slots_;
};

/// A plain FFN that decides its layer's shape: a pyramid with a gated dense branch.
class ShapingExpert final : public FeedForward {
 public:
  explicit ShapingExpert(const ModelDims& dims) : FeedForward({}, dims) {}
  LayerShape layer_shape(int64_t layer, int64_t layers,
                         const LayerShape& requested) const override {
    LayerShape shape = requested;
    shape.experts = layer + 1 == layers ? 2 * requested.experts : requested.experts;
    shape.hidden = requested.hidden + 4;
    shape.dense = DenseBranch::kAdd;
    shape.dense_hidden = 12;
    shape.dense_gate = layer == 0;
    return shape;
  }
};

class CausalLoss final : public Objective {
 public:
  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView) const override {
    ops::cross_entropy(exec, in, row_loss, grad);
  }
};

}  // namespace moiety
