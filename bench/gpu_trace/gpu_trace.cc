// What a GPU does and when it idles, seen by CUPTI from inside any CUDA program:
//
//   export CUDA_INJECTION64_PATH=build/cuda/lib/libmoiety_gpu_trace.so GPU_TRACE_LAST_MS=2000
//   moiety bench step gpt_350m --iterations 15
//
// Records the kernels, copies and fills of all streams, those inside graphs too. At exit it says
// how much of the last GPU_TRACE_LAST_MS milliseconds (default 1000) before the end of the last
// kernel none of them ran, the longest such gap, and what took the time, by name.
#include <cupti.h>
#include <cxxabi.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Interval {
  uint64_t begin = 0, end = 0;  // nanoseconds
  std::string name;
};

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
Interval interval_of(const CUpti_Activity* record, const char* name) {
  const auto* activity = reinterpret_cast<const Activity*>(record);
  return {activity->start, activity->end, name};
}

std::string readable(const std::string& mangled) {
  int status = 0;
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : mangled;
  std::free(text);
  return name;
}

void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t* buffer, size_t,
                          size_t valid) {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const char* name = reinterpret_cast<const CUpti_ActivityKernel9*>(record)->name;
      all.busy.push_back(interval_of<CUpti_ActivityKernel9>(record, name));
      all.last_kernel = std::max(all.last_kernel, all.busy.back().end);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      all.busy.push_back(interval_of<CUpti_ActivityMemcpy5>(record, "copy"));
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
      all.busy.push_back(interval_of<CUpti_ActivityMemset4>(record, "fill"));
    }
  }
  size_t dropped = 0;
  cuptiActivityGetNumDroppedRecords(context, stream, &dropped);
  all.dropped += dropped;
  std::free(buffer);
}

struct Sum {
  uint64_t nanoseconds = 0;
  size_t calls = 0;
};

void print_sums(const std::map<std::string, Sum>& sums, double milliseconds) {
  constexpr size_t kNames = 40, kWidth = 150;
  std::vector<std::pair<std::string, Sum>> sorted(sums.begin(), sums.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.nanoseconds > b.second.nanoseconds;
  });
  for (size_t i = 0; i < std::min(sorted.size(), kNames); ++i) {
    const double ms = static_cast<double>(sorted[i].second.nanoseconds) / 1e6;
    std::fprintf(stderr, "%10.3f ms %5.1f %% %6zu  %s\n", ms, 100 * ms / milliseconds,
                 sorted[i].second.calls, readable(sorted[i].first).substr(0, kWidth).c_str());
  }
}

void report() {
  cuptiActivityFlushAll(1);
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  const char* wanted = std::getenv("GPU_TRACE_LAST_MS");
  const auto window = static_cast<uint64_t>((wanted != nullptr ? std::atof(wanted) : 1000) * 1e6);
  const uint64_t to = all.last_kernel, from = to > window ? to - window : 0;
  const double milliseconds = static_cast<double>(to - from) / 1e6;
  std::sort(all.busy.begin(), all.busy.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  uint64_t idle = 0, longest = 0, until = from;
  std::map<std::string, Sum> sums;
  for (const Interval& x : all.busy) {
    if (x.end <= from || x.begin >= to) continue;
    sums[x.name].nanoseconds += x.end - std::max(x.begin, from);
    ++sums[x.name].calls;
    if (x.begin > until) {
      idle += x.begin - until;
      longest = std::max(longest, x.begin - until);
    }
    until = std::max(until, x.end);
  }
  std::fprintf(stderr, "idle %.2f %% of the last %.0f ms, longest gap %.3f ms; %llu records lost\n",
               1e-4 * static_cast<double>(idle) / std::max(milliseconds, 1e-9), milliseconds,
               static_cast<double>(longest) / 1e6, static_cast<unsigned long long>(all.dropped));
  print_sums(sums, milliseconds);
}

}  // namespace

/// The driver calls this in a program that is started with CUDA_INJECTION64_PATH.
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  records();
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET}) {
    if (cuptiActivityEnable(kind) != CUPTI_SUCCESS) {
      std::fprintf(stderr, "gpu_trace: CUPTI cannot record activity %d\n", static_cast<int>(kind));
    }
  }
  std::atexit(report);
  return 1;
}
