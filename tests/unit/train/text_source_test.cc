// The text source's windows: each in exactly one split, both spread over the whole text.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include <moiety/data_source.h>

#include "core/base/files.h"
#include "core/plugin/registry.h"

namespace moiety {

TEST(TextSource, EveryWindowIsInOneSplitAndBothAreSpread) {
  const auto file = std::filesystem::path(testing::TempDir()) / "moiety_text_source_test.bin";
  constexpr int kWindows = 101;
  std::string text;
  for (int w = 0; w < kWindows; ++w) text += std::string(4, static_cast<char>(w));
  replace_file(file, text + "x");

  PluginRegistry plugins({MOIETY_BINARY_DIR "/lib/moiety/plugins"});
  const auto& info = plugins.find(ComponentKind::kData, "text");
  const OptionMap options = complete_options(
      info, {{"files", std::vector<std::string>{file.string()}}, {"validation_fraction", 0.1}});
  ModelDims dims;
  dims.sequence = 4;
  const auto source = plugins.create<DataSource>("text", options, dims);
  ASSERT_EQ(source->size(Split::kTrain) + source->size(Split::kValidation), kWindows);
  ASSERT_EQ(source->size(Split::kValidation), 10);

  std::set<int32_t> seen;
  std::vector<int32_t> held_out;
  for (const Split split : {Split::kTrain, Split::kValidation}) {
    for (int64_t i = 0; i < source->size(split); ++i) {
      int32_t tokens[4], targets[4];
      const TensorView rows[] = {view_of(tokens, DType::kI32, {4}),
                                 view_of(targets, DType::kI32, {4})};
      source->fill(split, i, rows);
      EXPECT_EQ(tokens[0], tokens[3]);
      EXPECT_EQ(targets[0], tokens[1]);
      EXPECT_TRUE(seen.insert(tokens[0]).second) << "window " << tokens[0] << " twice";
      if (split == Split::kValidation) held_out.push_back(tokens[0]);
    }
  }
  EXPECT_EQ(seen.size(), size_t{kWindows});
  EXPECT_LT(held_out.front(), 10);
  EXPECT_GT(held_out.back(), 90);
}

}  // namespace moiety
