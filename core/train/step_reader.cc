#include "core/train/step_reader.h"

#include <chrono>
#include <cstring>

namespace moiety {

namespace {
constexpr size_t kSlots = 4;  // steps that the host may run ahead of the device
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

StepReader::StepReader(const DeviceContext& context, const StepRunner& runner,
                       const RunConfig& config, std::function<void(const StepRecord&)> sink)
    : context_(context),
      runner_(runner),
      micro_batches_(config.gradient_accumulation_steps),
      dead_share_(config.monitor.dead_expert_share),
      last_time_(now_seconds()),
      sink_(std::move(sink)) {
  for (size_t i = 0; i < kSlots; ++i) {
    slots_.emplace_back(context, runner.sums().bytes() + sizeof(ops::StepControl));
  }
}

void StepReader::push(int64_t step, int64_t tokens) {
  if (in_flight_ == kSlots) {
    slots_[first_].arrived.wait();
    poll(false);
  }
  Slot& slot = slots_[(first_ + in_flight_) % kSlots];
  slot.step = step, slot.tokens = tokens;
  auto* memory = static_cast<char*>(slot.memory.data());
  context_.copy(memory, runner_.sums().data(), runner_.sums().bytes());
  context_.copy(memory + runner_.sums().bytes(), runner_.control(), sizeof(ops::StepControl));
  slot.arrived.record(context_);
  ++in_flight_;
}

void StepReader::poll(bool all) {
  while (in_flight_ > 0) {
    Slot& slot = slots_[first_];
    if (all) slot.arrived.wait();
    if (!slot.arrived.done()) return;
    hand_out(slot);
    first_ = (first_ + 1) % kSlots;
    --in_flight_;
  }
}

void StepReader::hand_out(Slot& slot) {
  const auto* memory = static_cast<const char*>(slot.memory.data());
  ops::StepControl control;
  std::memcpy(&control, memory + runner_.sums().bytes(), sizeof control);
  StepRecord record;
  record.step = slot.step;
  record.batch = slot.step - 1;
  record.tokens = slot.tokens;
  record.numbers = read_sums(reinterpret_cast<const float*>(memory), runner_.shape(),
                             micro_batches_, dead_share_);
  record.lr = static_cast<double>(control.step.lr);
  record.loss_scale = static_cast<double>(control.step.loss_scale);
  record.grad_norm = static_cast<double>(control.grad_norm);
  record.skipped = control.step.skip != 0;
  record.skipped_total = control.skipped;
  record.scaler_exhausted = control.scaler.exhausted != 0;
  const double now = now_seconds();
  record.seconds = now - last_time_;
  if (last_tokens_ >= 0 && record.seconds > 0) {
    record.tokens_per_second = static_cast<double>(slot.tokens - last_tokens_) / record.seconds;
  }
  last_time_ = now;
  last_tokens_ = slot.tokens;
  sink_(record);
}

}  // namespace moiety
