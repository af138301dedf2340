// The printed tables.
#include "core/plugin/report.h"

#include <gtest/gtest.h>

namespace moiety {
namespace {

TEST(Report, Tables) {
  const std::vector<std::vector<std::string>> rows = {{"a", "b"}, {"long", "x"}};
  EXPECT_EQ(column_table(rows), "a     b\nlong  x\n");
  EXPECT_EQ(markdown_table(rows), "| a | b |\n|---|---|\n| long | x |\n");
}

TEST(Report, OptionRows) {
  OptionSpec k;
  k.name = "k", k.doc = "experts per token", k.type = OptionType::kInt, k.fallback = int64_t{2};
  k.min = 1, k.max = 8;
  OptionSpec path;
  path.name = "path", path.doc = "data", path.type = OptionType::kString, path.required = true;
  const auto rows = option_rows({k, path});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1],
            (std::vector<std::string>{"k", "an integer in [1, 8]", "2", "experts per token"}));
  EXPECT_EQ(rows[2], (std::vector<std::string>{"path", "a text", "(required)", "data"}));
}

TEST(Report, Traits) {
  EXPECT_EQ(traits_text(Traits{}), "cpu, cuda, deterministic, capturable, state version 1");
  EXPECT_EQ(traits_text({.cuda = false, .deterministic = false}),
            "cpu, capturable, state version 1");
}

}  // namespace
}  // namespace moiety
