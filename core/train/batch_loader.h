// Train batches, shuffled and prefetched. What a batch holds depends on seed and cursor alone.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "core/train/batch_layout.h"

namespace moiety {

/// Sample number `cursor` of the endless stream: epoch after epoch, each in its own order.
MOIETY_API int64_t shuffled_sample(int64_t cursor, int64_t size, uint64_t seed);

/// What the losses of a train batch are divided by.
enum class LossReduction : uint8_t {
  kTrainBatch,  // every micro-batch: the weight of the whole train batch
  kMicroBatch,  // its own weight times their number (DeepSpeed's mean of means)
};
/// Completes a filled batch: masks, and what the losses are divided by.
MOIETY_API void write_denominators(const BatchLayout& layout, LossReduction reduction, void* base);

class MOIETY_API BatchLoader {
 public:
  struct Options {
    uint64_t seed = 0;
    int64_t cursor = 0;  // train samples consumed so far
    LossReduction reduction = LossReduction::kTrainBatch;
    bool prefetch = true;  // a thread works ahead; the batches are the same without
  };
  /// `source` and `layout` must outlive the loader. Throws ConfigError for an empty source.
  BatchLoader(const DataSource& source, const BatchLayout& layout, const Options& options);
  ~BatchLoader();

  /// Copies the next batch to `to` on the device, in stream order. What the source throws arrives
  /// here.
  void next(const DeviceContext& context, void* to);
  /// Samples consumed after the batches handed out so far.
  int64_t cursor() const { return cursor_; }
  int64_t epoch_size() const { return size_; }

 private:
  struct Slot {
    Buffer memory;
    std::unique_ptr<Event> copied;  // the device has read it
  };
  void fill(Slot& slot, int64_t cursor) const;
  void work_ahead();

  const DataSource& source_;
  const BatchLayout& layout_;
  Options options_;
  int64_t size_, cursor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Slot>> free_, ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace moiety
