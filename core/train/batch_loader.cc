#include "core/train/batch_loader.h"

#include <algorithm>
#include <utility>

#include "core/plugin/gate.h"
#include "core/train/permutation.h"

namespace moiety {

namespace {
constexpr int kSlots = 3;  // one being filled, one ready, one being copied
}

int64_t shuffled_sample(int64_t cursor, int64_t size, uint64_t seed) {
  return Permutation64(size, seed, cursor / size)(cursor % size);
}

void write_denominators(const BatchLayout& layout, LossReduction reduction, void* base) {
  const int64_t count = layout.shape().micro_batches;
  std::vector<double> weights;
  double total = 0;
  for (int64_t m = 0; m < count; ++m) layout.finish(base, m);
  for (int64_t m = 0; m < count; ++m) total += weights.emplace_back(layout.weight(base, m));
  for (int64_t m = 0; m < count; ++m) {
    const double own = weights[static_cast<size_t>(m)] * static_cast<double>(count);
    const double divisor = reduction == LossReduction::kTrainBatch ? total : own;
    // Without a single target the losses are 0 whatever divides them.
    layout.denominators(base)[m] = divisor > 0 ? static_cast<float>(divisor) : 1.0f;
  }
}

BatchLoader::BatchLoader(const DataSource& source, const BatchLayout& layout,
                         const Options& options)
    : source_(source),
      layout_(layout),
      options_(options),
      size_(source.size(Split::kTrain)),
      cursor_(options.cursor) {
  if (size_ < 1) throw ConfigError("data source: the train split has no samples");
  for (int i = 0; i < kSlots; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->memory = Buffer::pinned(layout.bytes());
    free_.push_back(std::move(slot));
  }
  if (options.prefetch) thread_ = std::thread([this] { work_ahead(); });
}

BatchLoader::~BatchLoader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BatchLoader::fill(Slot& slot, int64_t cursor) const {
  if (slot.copied != nullptr) slot.copied->wait();
  const int64_t samples = layout_.shape().samples();
  for (int64_t i = 0; i < samples; ++i) {
    in_plugin("the data source", "fill", -1, [&] {
      source_.fill(Split::kTrain, shuffled_sample(cursor + i, size_, options_.seed),
                   layout_.rows_of(slot.memory.data(), i));
    });
  }
  write_denominators(layout_, options_.reduction, slot.memory.data());
}

void BatchLoader::work_ahead() {
  for (int64_t cursor = options_.cursor;; cursor += layout_.shape().samples()) {
    std::unique_ptr<Slot> slot;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !free_.empty(); });
      if (stop_) return;
      slot = std::move(free_.front());
      free_.pop_front();
    }
    std::exception_ptr failure;
    try {
      fill(*slot, cursor);
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    if (failure == nullptr) ready_.push_back(std::move(slot));
    changed_.notify_all();
    if (failure != nullptr) return;
  }
}

void BatchLoader::next(const DeviceContext& context, void* to) {
  std::unique_ptr<Slot> slot;
  if (!options_.prefetch) {
    slot = std::move(free_.front());
    free_.pop_front();
    fill(*slot, cursor_);
  } else {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty() || failure_ != nullptr; });
    if (ready_.empty()) std::rethrow_exception(failure_);
    slot = std::move(ready_.front());
    ready_.pop_front();
  }
  context.copy(to, slot->memory.data(), layout_.bytes());
  if (slot->copied == nullptr) slot->copied = std::make_unique<Event>(context.device());
  slot->copied->record(context);
  cursor_ += layout_.shape().samples();
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(slot));
  }
  changed_.notify_all();
}

}  // namespace moiety
