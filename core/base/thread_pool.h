// The process's CPU threads. Results never depend on how many there are: callers cut work into
// pieces by size alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <moiety/export.h>

namespace moiety {

class MOIETY_API ThreadPool {
 public:
  /// 0 = as many as usable_cores(); the caller is one of them. The others stay each on a core of
  /// its own where they are as many as the allowed cores.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int threads() const;
  /// fn(piece) for piece in [0, pieces), in any order, on any thread; returns when all are done.
  /// The first exception is rethrown. Nested calls run on the caller.
  void run(int64_t pieces, const std::function<void(int64_t)>& fn) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moiety
