// The share of a time in which a GPU runs nothing, seen by CUPTI from inside any CUDA program:
//
//   export CUDA_INJECTION64_PATH=build/cuda/bench/libmoiety_idle_time.so IDLE_TIME_LAST_MS=2000
//   moiety bench step gpt_350m --iterations 15
//
// Records the kernels, copies and fills of all streams, those inside graphs too, and at exit says
// how much of the last IDLE_TIME_LAST_MS milliseconds (default 1000) before the end of the last
// kernel none of them ran, and the longest such gap.
#include <cupti.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace {

using Interval = std::pair<uint64_t, uint64_t>;  // nanoseconds

constexpr size_t kBufferBytes = size_t{8} << 20;

struct Records {
  std::mutex mutex;
  std::vector<Interval> busy;
  uint64_t last_kernel = 0, dropped = 0;
};

Records& records() {  // CUPTI calls back without a context of ours
  static auto* all = new Records;
  return *all;
}

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* bytes, size_t* most) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, kBufferBytes));
  *bytes = kBufferBytes;
  *most = 0;
}

template <class Activity>
Interval interval_of(const CUpti_Activity* record) {
  const auto* activity = reinterpret_cast<const Activity*>(record);
  return {activity->start, activity->end};
}

void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t* buffer, size_t,
                          size_t valid) {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      all.busy.push_back(interval_of<CUpti_ActivityKernel9>(record));
      all.last_kernel = std::max(all.last_kernel, all.busy.back().second);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      all.busy.push_back(interval_of<CUpti_ActivityMemcpy5>(record));
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
      all.busy.push_back(interval_of<CUpti_ActivityMemset4>(record));
    }
  }
  size_t dropped = 0;
  cuptiActivityGetNumDroppedRecords(context, stream, &dropped);
  all.dropped += dropped;
  std::free(buffer);
}

void report() {
  cuptiActivityFlushAll(1);
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  const char* wanted = std::getenv("IDLE_TIME_LAST_MS");
  const double milliseconds = wanted != nullptr ? std::atof(wanted) : 1000;
  const auto window = static_cast<uint64_t>(milliseconds * 1e6);
  const uint64_t to = all.last_kernel, from = to > window ? to - window : 0;
  std::sort(all.busy.begin(), all.busy.end());
  uint64_t idle = 0, longest = 0, until = from;
  size_t count = 0;
  for (const auto& [begin, end] : all.busy) {
    if (end <= from || begin >= to) continue;
    ++count;
    if (begin > until) {
      idle += begin - until;
      longest = std::max(longest, begin - until);
    }
    until = std::max(until, end);
  }
  std::fprintf(
      stderr,
      "idle time: %.2f %% of the last %.0f ms, in which %zu kernels, copies and fills ran; "
      "longest gap %.3f ms; %llu records lost\n",
      100 * static_cast<double>(idle) / static_cast<double>(std::max<uint64_t>(to - from, 1)),
      static_cast<double>(to - from) / 1e6, count, static_cast<double>(longest) / 1e6,
      static_cast<unsigned long long>(all.dropped));
}

}  // namespace

/// The driver calls this in a program that is started with CUDA_INJECTION64_PATH.
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  records();
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET}) {
    if (cuptiActivityEnable(kind) != CUPTI_SUCCESS) {
      std::fprintf(stderr, "idle time: CUPTI cannot record activity %d\n", static_cast<int>(kind));
    }
  }
  std::atexit(report);
  return 1;
}
