#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

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

}  // namespace moiety
