#include "core/train/step_runner.h"

#include <utility>

#include "core/model/component_call.h"
#include "core/ops/sequence_balance.h"
#include "core/train/schedule.h"

namespace moiety {

namespace {

using ops::StepControl;

template <class T>
Buffer on_device(const DeviceContext& context, const std::vector<T>& values) {
  Buffer buffer(context.device(), values.size() * sizeof(T));
  context.copy(buffer.data(), values.data(), buffer.bytes());
  context.synchronize();
  return buffer;
}

/// Where the rows of each micro-batch lie in the train batch, for the noise.
std::vector<RowMap> row_maps_of(const BatchShape& shape) {
  std::vector<RowMap> maps(static_cast<size_t>(shape.micro_batches));
  for (size_t m = 0; m < maps.size(); ++m) {
    maps[m].first = static_cast<int64_t>(m) * shape.sequences * shape.length;
  }
  return maps;
}

}  // namespace

StepControl initial_control(const RunConfig& config) {
  StepControl control;
  control.schedule = make_schedule(config);
  control.clip = config.gradient_clipping;
  control.check_overflow = config.check_grad_overflow ? 1 : 0;
  if (config.precision == Precision::kF16) control.scaler = make_loss_scaler(config);
  return control;
}

StepRunner::StepRunner(const Parts& parts, const RunConfig& config)
    : parts_(parts),
      shape_(sums_shape(*parts.model, *parts.objective)),
      sums_(*parts.context, shape_),
      batch_(parts.context->device(), parts.layout->bytes()),
      control_(on_device(*parts.context, std::vector<StepControl>{initial_control(config)})),
      row_maps_(on_device(*parts.context, row_maps_of(parts.layout->shape()))),
      norm_(parts.context->device(), sizeof(float)),
      scratch_(*parts.context) {
  const int64_t Lm = shape_.moe_layers, E = shape_.most_experts;
  totals_memory_ = Buffer(parts.context->device(), static_cast<size_t>(2 + Lm * E) * sizeof(float));
  auto* numbers = static_cast<float*>(totals_memory_.data());
  totals_.counts = view_of(numbers, DType::kF32, {2}, parts.context->device());
  totals_.load = view_of(numbers + 2, DType::kF32, {Lm, E}, parts.context->device());
  totals_.ranks = parts.ranks;
  exec_impl_.context = parts.context;
  exec_impl_.scratch = &scratch_;
  exec_impl_.step = &static_cast<const StepControl*>(control_.data())->step;
  exec_impl_.rows = static_cast<const RowMap*>(row_maps_.data());
  exec_impl_.compute_dtype = compute_dtype(config.precision);
  exec_impl_.fp8_parts = fp8_parts(config);
  exec_impl_.seed = config.run.seed;
  exec_impl_.deterministic = config.run.deterministic;

  ParameterTable& table = parts.model->parameters();
  const std::vector<ParamSlice> slices = table.slices(*parts.optimizer);
  in_plugin("the optimizer", "bind", -1, [&] { parts_.optimizer->bind(exec_, slices); });
  std::vector<TensorView> gradients;
  for (const TableEntry& entry : table.entries()) {
    if (entry.parameter.grad) gradients.push_back(entry.parameter.grad);
  }
  gradients_.emplace(exec_, gradients);
}

StepRunner::~StepRunner() = default;

void StepRunner::run(bool graph, PhaseTimer* timer) {
  exec_impl_.phases = timer;
  if (!graph || !warm_ || timer != nullptr || exec_impl_.sync_check) {
    body();  // also the warm-up that sizes the arenas
    warm_ = true;
    exec_impl_.phases = nullptr;
    return;
  }
  if (!graph_) graph_.emplace(*parts_.context, [this] { body(); });
  graph_->launch();
}

void StepRunner::set_teacher(Teacher* teacher) {
  parts_.context->synchronize();  // steps in flight read the old one's memory
  teacher_ = teacher;
  graph_.reset();
  warm_ = false;
}

void StepRunner::body() {
  const ArenaScope scope(scratch_);
  auto* control = static_cast<StepControl*>(control_.data());
  ParameterTable& table = parts_.model->parameters();
  {
    const PhaseScope phase(exec_, "step.begin");
    sums_.zero(*parts_.context);
    ops::begin_step(exec_, control);
  }
  phase_forward_backward();
  const TensorView norm = view_of(norm_.data(), DType::kF32, {1}, parts_.context->device());
  {
    const PhaseScope phase(exec_, "gradient norm");
    ops::global_norm(exec_, *gradients_, norm);
    ops::finish_gradients(exec_, norm, control);
  }
  {
    const PhaseScope phase(exec_, "optimizer");
    in_component(exec_, "the optimizer", "step", -1, [this] { parts_.optimizer->step(exec_); });
    table.refresh_copies(exec_);
  }
  const PhaseScope phase(exec_, "step.end");
  parts_.model->end_step(exec_, sums_.sums());
  ops::end_step(exec_, control);
}

MicroBatch StepRunner::micro_batch(int64_t m) {
  MicroBatch batch = parts_.layout->view(batch_.data(), m, parts_.context->device());
  batch.rows = exec_impl_.rows = static_cast<const RowMap*>(row_maps_.data()) + m;
  if (parts_.model->needs_counts()) batch.totals = &totals_;
  return batch;
}

/// What losses over the train batch need before the first backward.
void StepRunner::count_batch() {
  if (!parts_.model->needs_counts()) return;
  const PhaseScope phase(exec_, "batch totals");
  const BatchShape& shape = parts_.layout->shape();
  parts_.context->zero(totals_memory_.data(), totals_memory_.bytes());
  totals_.complete = false;
  RoutingTap* const tap = std::exchange(exec_impl_.routing, nullptr);  // the step itself is shown
  for (int64_t m = 0; m < shape.micro_batches; ++m) {
    const ArenaScope scope(scratch_);
    const MicroBatch batch = micro_batch(m);
    ops::count_sequences(exec_, batch.token_mask, shape.sequences, shape.length, totals_.tokens(),
                         totals_.sequences());
    if (m > 0 && parts_.model->needs_load()) parts_.model->count_load(exec_, batch);
  }
  exec_impl_.routing = tap;
  if (totals_.ranks != nullptr) totals_.ranks->sum(exec_, totals_.counts);
}

void StepRunner::phase_forward_backward() {
  const int64_t count = parts_.layout->shape().micro_batches;
  count_batch();
  for (int64_t m = 0; m < count; ++m) {
    const ArenaScope scope(scratch_);
    parts_.model->parameters().set_grad_mode(m == 0 ? GradMode::kOverwrite : GradMode::kAccumulate);
    MicroBatch batch = micro_batch(m);
    if (teacher_ != nullptr) {
      teacher_->forward(exec_, batch);
      batch.teacher = teacher_;
    }
    parts_.model->forward_backward(exec_, batch, *parts_.objective, count, sums_.sums());
  }
}

void StepRunner::write_control(const StepControl& control) {
  parts_.context->copy(control_.data(), &control, sizeof control);
  parts_.context->synchronize();
}

StepControl StepRunner::read_control() const {
  StepControl control;
  parts_.context->copy(&control, control_.data(), sizeof control);
  parts_.context->synchronize();
  return control;
}

}  // namespace moiety
