#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/base/cores.h"

namespace moiety {

TEST(ThreadPool, EveryPieceRunsOnce) {
  const ThreadPool pool(3);
  for (const int64_t pieces : {0, 1, 2, 1000}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(pieces));
    pool.run(pieces, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
    for (const auto& count : seen) EXPECT_EQ(count, 1);
  }
}

TEST(ThreadPool, NestedRunsFinish) {
  const ThreadPool pool(2);
  std::atomic<int> sum = 0;
  pool.run(4, [&](int64_t) { pool.run(4, [&](int64_t) { ++sum; }); });
  EXPECT_EQ(sum, 16);
}

TEST(ThreadPool, TheExceptionArrives) {
  const ThreadPool pool(2);
  EXPECT_THROW(pool.run(8,
                        [](int64_t i) {
                          if (i == 5) throw std::runtime_error("five");
                        }),
               std::runtime_error);
  std::atomic<int> after = 0;
  pool.run(3, [&](int64_t) { ++after; });
  EXPECT_EQ(after, 3);
}

TEST(Cores, AThreadHasAsManyAsItsAffinityAllows) {
  const std::vector<int> all = allowed_cores();
  ASSERT_FALSE(all.empty());
  EXPECT_GE(usable_cores(), 1);
  EXPECT_LE(usable_cores(), static_cast<int>(all.size()));
  std::thread bound([&] {
    while (allowed_cores().size() != 1) std::this_thread::yield();
    EXPECT_EQ(allowed_cores(), std::vector<int>{all.back()});
    EXPECT_EQ(usable_cores(), 1);
    EXPECT_EQ(ThreadPool(0).threads(), 1);
  });
  pin(bound, all.back());
  bound.join();
}

}  // namespace moiety
