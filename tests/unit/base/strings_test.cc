#include "core/base/strings.h"

#include <gtest/gtest.h>

namespace moiety {

TEST(Strings, NearestFindsATypo) {
  const std::vector<std::string> names = {"topk", "top1", "top2", "expert_choice"};
  EXPECT_EQ(nearest("tpok", names), "topk");
  EXPECT_EQ(nearest("expertchoice", names), "expert_choice");
  EXPECT_EQ(nearest("something_else", names), "");
  EXPECT_EQ(did_you_mean("tok", names), "; did you mean 'topk'?");
  EXPECT_EQ(did_you_mean("zzzzzz", names), "");
}

TEST(Strings, GlobMatchesLikeAShell) {
  EXPECT_TRUE(glob_match("layers.*.moe.*", "layers.3.moe.router.weight"));
  EXPECT_TRUE(glob_match("layers.?.ffn.w_in", "layers.3.ffn.w_in"));
  EXPECT_FALSE(glob_match("layers.?.ffn.w_in", "layers.13.ffn.w_in"));
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_FALSE(glob_match("a*b", "ac"));
}

TEST(Strings, ShortNumbers) {
  EXPECT_EQ(short_count(999), "999");
  EXPECT_EQ(short_count(6.4e6), "6.40 M");
  EXPECT_EQ(short_bytes(1536), "1.50 KiB");
}

}  // namespace moiety
