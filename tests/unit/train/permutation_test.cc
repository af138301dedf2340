// The order of an epoch: a bijection that seed and epoch decide.
#include "core/train/permutation.h"

#include <gtest/gtest.h>

#include <vector>

namespace moiety {
namespace {

TEST(Permutation, IsABijectionOfAnySize) {
  for (const int64_t size : {1, 2, 3, 7, 64, 65, 1000}) {
    const Permutation64 order(size, 7, 3);
    std::vector<int> hits(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) {
      const int64_t to = order(i);
      ASSERT_GE(to, 0);
      ASSERT_LT(to, size);
      ++hits[static_cast<size_t>(to)];
    }
    for (const int h : hits) EXPECT_EQ(h, 1) << "size " << size;
  }
}

TEST(Permutation, DependsOnSeedAndEpoch) {
  const Permutation64 a(1000, 1, 0), b(1000, 1, 1), c(1000, 2, 0);
  int same_epoch = 0, same_seed = 0, fixed = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    same_epoch += a(i) == b(i);
    same_seed += a(i) == c(i);
    fixed += a(i) == i;
  }
  EXPECT_LT(same_epoch, 15);
  EXPECT_LT(same_seed, 15);
  EXPECT_LT(fixed, 15);
}

}  // namespace
}  // namespace moiety
