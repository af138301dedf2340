// One micro-batch of images through the classifier, and back.
#include <deque>

#include <moiety/objective_ops.h>
#include <moiety/ops.h>

#include "core/base/check.h"
#include "core/device/phase_timer.h"
#include "core/model/classifier.h"
#include "core/model/component_call.h"
#include "core/model/layer_scope.h"
#include "core/model/layer_sums.h"
#include "core/ops/convolution.h"

namespace moiety {

struct Classifier::Pass {
  struct Dense {
    ConstTensorView x;
    TensorView h;  // before the ReLU
  };
  Pass(Exec& exec, Arena& memory, int64_t images, bool is_training)
      : all(exec, memory, images), training(is_training) {}

  AllRows all;  // the images as one segment
  bool training;
  std::vector<ConvolutionCall> convolutions;
  std::vector<Dense> dense;
  std::deque<MoeCall> moe;
};

namespace {

ConstTensorView column(ConstTensorView x) { return x ? x.reshape({x.numel()}) : x; }

}  // namespace

TensorView Classifier::forward(Exec& exec, Pass& pass, const MicroBatch& batch,
                               const StepSums& sums) {
  MOIETY_CHECK(batch.image, "a classifier reads images; the data source has no field image");
  const int64_t B = batch.image.dim(0), C = batch.image.dim(1), H = batch.image.dim(2),
                W = batch.image.dim(3);
  MOIETY_CHECK(C == config_.image[0] && H == config_.image[1] && W == config_.image[2],
               "images of [{}, {}, {}], but model.image is [{}, {}, {}]", C, H, W, config_.image[0],
               config_.image[1], config_.image[2]);
  TensorView x = memory_.make(exec.compute_dtype(), {B, H, W, C});
  ops::image_rows(exec, batch.image, x);
  {
    const PhaseScope phase(exec, "convolutions");
    for (const Convolution& c : convolutions_) {
      x = c.forward(exec, memory_, x, pass.convolutions.emplace_back());
    }
  }
  x = x.reshape({B, widths_[0]});
  for (size_t i = 0; i < dense_.size(); ++i) {
    const PhaseScope phase(exec, "dense");
    const TensorView h = memory_.make(x.dtype, {B, widths_[i + 1]});
    pass.dense.push_back({x, h});
    dense_[i].forward(exec, x, h);
    x = memory_.make(x.dtype, {B, widths_[i + 1]});
    ops::activate(exec, pass.all.batch(h), ops::Activation::kRelu, h, x);
  }
  const BalanceLosses losses = balance_losses_of(moe_config_);
  for (size_t i = 0; i < moe_.size(); ++i) {
    MoeCall& call = pass.moe.emplace_back(memory_);
    const TensorView out = memory_.make(x.dtype, {B, widths_.back()});
    const MoeInput input{x, {}, B, pass.training, &pass.all};
    moe_[i]->forward(exec, input,
                     layer_sums(sums, losses, static_cast<int64_t>(i), moe_[i]->dims().experts),
                     call, out);
    x = out;
  }
  return x;
}

void Classifier::loss(Exec& exec, const MicroBatch& batch, const Objective& objective,
                      ConstTensorView x, const StepSums& sums, TensorView dx) {
  const PhaseScope phase(exec, "head and loss");
  const LayerScope scope(exec, 0);
  const int64_t B = x.dim(0);
  const TensorView logits = exec.scratch(x.dtype, {B, config_.vocab_size});
  const TensorView row_loss = exec.scratch(DType::kF32, {B});
  TensorView metrics = sums.metrics;
  if (!metrics) {
    metrics = exec.scratch(DType::kF32, {static_cast<int64_t>(objective.metrics().size())});
    ops::fill(exec, metrics, 0);
  }
  output_->forward(exec, x, logits);
  ObjectiveInputs inputs;
  inputs.logits = logits;
  inputs.targets = column(batch.targets);
  inputs.loss_mask = column(batch.loss_mask);
  inputs.denominator = batch.denominator;
  if (batch.teacher != nullptr) {
    const TensorView of_teacher = exec.scratch(x.dtype, {B, config_.vocab_size});
    batch.teacher->logits(0, of_teacher);
    inputs.teacher_logits = of_teacher;
  }
  in_component(exec, "the objective", "evaluate", -1, [&] {
    objective.evaluate(exec, inputs, row_loss, dx ? logits : TensorView{}, metrics);
  });
  if (sums.loss) ops::add_row_mean(exec, inputs, row_loss, sums.loss);
  if (dx) output_->backward(exec, x, logits, dx);
}

void Classifier::backward(Exec& exec, Pass& pass, const MoeLossWeights& weights, TensorView dx) {
  const int64_t B = dx.dim(0);
  for (size_t i = moe_.size(); i-- > 0;) {
    const TensorView dout = dx;
    dx = memory_.make(dout.dtype, {B, widths_.back()});
    moe_[i]->backward(exec, weights, pass.moe[i], dout, dx);
  }
  for (size_t i = dense_.size(); i-- > 0;) {
    const PhaseScope phase(exec, "dense backward");
    const Pass::Dense& call = pass.dense[i];
    ops::activate_backward(exec, pass.all.batch(call.h), ops::Activation::kRelu, call.h, dx, dx);
    const TensorView dh = dx;
    const bool first = i == 0 && convolutions_.empty();
    dx = first ? TensorView{} : memory_.make(dh.dtype, {B, widths_[i]});
    dense_[i].backward(exec, call.x, dh, dx);
  }
  for (size_t i = convolutions_.size(); i-- > 0;) {
    const PhaseScope phase(exec, "convolutions backward");
    const Convolution::Form& form = convolutions_[i].form();
    const TensorView dout = dx.reshape({B, form.out_height(), form.out_width(), form.out});
    dx = {};
    if (i > 0) dx = memory_.make(dout.dtype, {B, form.height, form.width, form.channels});
    convolutions_[i].backward(exec, pass.convolutions[i], dout, dx);
  }
}

void Classifier::forward_backward(Exec& exec, const MicroBatch& batch, const Objective& objective,
                                  int64_t micro_batches, const StepSums& sums) {
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.targets.numel(), /*is_training=*/true);
  const TensorView x = forward(exec, pass, batch, sums);
  const TensorView dx = memory_.make(x.dtype, {x.dim(0), x.dim(1)});
  loss(exec, batch, objective, x, sums, dx);
  backward(exec, pass, loss_weights(moe_config_, 1 / static_cast<double>(micro_batches)), dx);
}

void Classifier::evaluate(Exec& exec, const MicroBatch& batch, const Objective& objective,
                          const StepSums& sums) {
  const ArenaScope memory(memory_);
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.targets.numel(), /*is_training=*/false);
  loss(exec, batch, objective, forward(exec, pass, batch, sums), sums, {});
}

TensorView Classifier::features(Exec& exec, const MicroBatch& batch, bool training) {
  memory_.rewind();  // what the pass before left for its caller
  const RowScope rows(exec, batch.rows);
  Pass pass(exec, memory_, batch.targets.numel(), training);
  return forward(exec, pass, batch, {});
}

void Classifier::feature_logits(Exec& exec, ConstTensorView features, TensorView logits) {
  output_->forward(exec, features, logits);
}

}  // namespace moiety
