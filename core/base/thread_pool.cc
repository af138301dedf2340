#include "core/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/cores.h"

namespace moiety {

namespace {

/// Set while a thread works on a piece, so that a nested run stays on it.
thread_local bool inside_a_piece = false;

/// Waits a moment without giving up the core: the next piece of work usually comes at once.
/// False where it did not.
template <class Condition>
bool spin_until(const Condition& condition) {
  constexpr auto kMoment = std::chrono::microseconds(50);
  constexpr int kLooks = 64;  // between two questions to the clock
  const auto end = std::chrono::steady_clock::now() + kMoment;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (condition()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

struct Job {
  const std::function<void(int64_t)>* fn = nullptr;
  int64_t pieces = 0;
  std::atomic<int64_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    inside_a_piece = true;
    for (int64_t piece = next++; piece < pieces; piece = next++) {
      try {
        (*fn)(piece);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (error == nullptr) error = std::current_exception();
      }
    }
    inside_a_piece = false;
  }
};

}  // namespace

struct ThreadPool::Impl {
  int threads = 1;
  std::mutex caller;  // one run at a time
  std::mutex mutex;
  std::condition_variable wake, done;
  Job* job = nullptr;  // written before `generation` counts up
  std::atomic<uint64_t> generation = 0;
  std::atomic<int> busy = 0;
  std::atomic<bool> stop = false;
  std::vector<std::thread> workers;

  void loop() {
    for (uint64_t seen = 0; true;) {
      const auto called = [&] { return stop || generation != seen; };
      if (!spin_until(called)) {
        std::unique_lock lock(mutex);
        wake.wait(lock, called);
      }
      if (stop) return;
      seen = generation;
      job->work();
      if (--busy == 0) {
        const std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  impl_->threads = threads > 0 ? threads : usable_cores();
  const std::vector<int> cores = allowed_cores();
  const bool all = impl_->threads == static_cast<int>(cores.size());  // else others use them too
  for (int i = 1; i < impl_->threads; ++i) {
    impl_->workers.emplace_back([impl = impl_.get()] { impl->loop(); });
    if (all) pin(impl_->workers.back(), cores[static_cast<size_t>(i)]);
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(impl_->mutex);  // nobody is between looking and sleeping
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::threads() const { return impl_->threads; }

void ThreadPool::run(int64_t pieces, const std::function<void(int64_t)>& fn) const {
  if (pieces <= 0) return;
  if (inside_a_piece || pieces == 1 || impl_->threads == 1) {
    for (int64_t piece = 0; piece < pieces; ++piece) fn(piece);
    return;
  }
  const std::lock_guard one_at_a_time(impl_->caller);
  Job job;
  job.fn = &fn;
  job.pieces = pieces;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->job = &job;
    impl_->busy = static_cast<int>(impl_->workers.size());
    ++impl_->generation;
  }
  impl_->wake.notify_all();
  job.work();
  const auto finished = [&] { return impl_->busy == 0; };
  if (!spin_until(finished)) {
    std::unique_lock lock(impl_->mutex);
    impl_->done.wait(lock, finished);
  }
  if (job.error != nullptr) std::rethrow_exception(job.error);
}

}  // namespace moiety
