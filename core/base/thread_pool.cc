#include "core/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace moiety {

namespace {

/// Set while a thread works on a piece, so that a nested run stays on it.
thread_local bool inside_a_piece = false;

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
  Job* job = nullptr;
  uint64_t generation = 0;
  int busy = 0;
  bool stop = false;
  std::vector<std::thread> workers;

  void loop() {
    uint64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return stop || generation != seen; });
      if (stop) return;
      seen = generation;
      Job* mine = job;
      lock.unlock();
      mine->work();
      lock.lock();
      if (--busy == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  impl_->threads = threads > 0 ? threads : cores;
  for (int i = 1; i < impl_->threads; ++i) {
    impl_->workers.emplace_back([impl = impl_.get()] { impl->loop(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(impl_->mutex);
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
  std::unique_lock lock(impl_->mutex);
  impl_->done.wait(lock, [&] { return impl_->busy == 0; });
  lock.unlock();
  if (job.error != nullptr) std::rethrow_exception(job.error);
}

}  // namespace moiety
