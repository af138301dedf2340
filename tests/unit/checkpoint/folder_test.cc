// What stays in checkpoints/, and which file a run resumes from.
#include <gtest/gtest.h>

#include "tests/unit/checkpoint/state.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety {
namespace {

class CheckpointFolderTest : public testing::Test {
 protected:
  void save(int64_t step) {
    CheckpointInfo info = some_info();
    info.state.batch = step;
    folder_.save(step, state_.table, info);
  }
  std::optional<std::filesystem::path> newest() {
    broken_.clear();
    return folder_.newest_valid([this](const std::filesystem::path& file, const std::string& why) {
      broken_.push_back(file.filename().string() + ": " + why);
    });
  }
  bool has(int64_t step) { return std::filesystem::exists(folder_.file_of(step)); }

  TemporaryFolder temporary_;
  State state_{1};
  CheckpointFolder folder_{temporary_ / "checkpoints", 2};
  std::vector<std::string> broken_;
};

TEST_F(CheckpointFolderTest, KeepsTheLast) {
  EXPECT_EQ(newest(), std::nullopt);
  for (const int64_t step : {5, 10, 15}) save(step);
  EXPECT_FALSE(has(5));
  EXPECT_TRUE(has(10) && has(15));
  EXPECT_EQ(contents(temporary_ / "checkpoints/latest"), "step_00000015.h5\n");
  EXPECT_EQ(newest(), folder_.file_of(15));
}

TEST_F(CheckpointFolderTest, FallsBackOverTornFiles) {
  save(5);
  save(10);
  const std::string whole = contents(folder_.file_of(10));
  overwrite(folder_.file_of(10), whole.substr(0, whole.size() / 2));
  EXPECT_EQ(newest(), folder_.file_of(5));
  ASSERT_EQ(broken_.size(), 1u);
  EXPECT_NE(broken_[0].find("step_00000010.h5: "), std::string::npos);
  overwrite(folder_.file_of(5), "");
  EXPECT_EQ(newest(), std::nullopt);
  EXPECT_EQ(broken_.size(), 2u);
}

TEST_F(CheckpointFolderTest, RemovesLeftoversOfInterruptedSaves) {
  save(5);
  overwrite(temporary_ / "checkpoints/step_00000010.h5.tmp", "half");
  overwrite(temporary_ / "checkpoints/latest.tmp", "half");
  folder_.remove_leftovers();
  EXPECT_EQ(newest(), folder_.file_of(5));
  EXPECT_FALSE(std::filesystem::exists(temporary_ / "checkpoints/step_00000010.h5.tmp"));
  EXPECT_FALSE(std::filesystem::exists(temporary_ / "checkpoints/latest.tmp"));
}

/// A run that saves meanwhile renames its temporary file: who reads must leave it there.
TEST_F(CheckpointFolderTest, ReadersChangeNothing) {
  save(5);
  overwrite(temporary_ / "checkpoints/step_00000010.h5.tmp", "half");
  EXPECT_EQ(newest(), folder_.file_of(5));
  EXPECT_EQ(find_checkpoint(temporary_.path()), folder_.file_of(5));
  EXPECT_EQ(find_checkpoint(temporary_ / "checkpoints"), folder_.file_of(5));
  EXPECT_TRUE(std::filesystem::exists(temporary_ / "checkpoints/step_00000010.h5.tmp"));
}

TEST_F(CheckpointFolderTest, KeepsTheFileJustWrittenAfterGoingBack) {
  for (const int64_t step : {20, 30, 10}) save(step);
  EXPECT_TRUE(has(10) && has(30));
  EXPECT_FALSE(has(20));
}

}  // namespace
}  // namespace moiety
