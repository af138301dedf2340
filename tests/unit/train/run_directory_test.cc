// The run directory: refusing to overwrite, rows of metrics, the status file.
#include "core/train/run_directory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/base/files.h"

namespace moiety {
namespace {

namespace fs = std::filesystem;

class RunDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("moiety_run_" + std::to_string(getpid()));
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(RunDirectoryTest, RefusesAFolderInUseAndSaysWhatToType) {
  fs::create_directories(folder_);
  RunDirectory::create(folder_).write_status(Json::Object{{"state", "running"}});  // empty: fine
  try {
    RunDirectory::create(folder_);
    FAIL() << "a run directory in use was accepted";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("--resume"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("--run-dir"), std::string::npos);
  }
}

TEST_F(RunDirectoryTest, TakesBackWhatAStartMadeBeforeTheRunBegan) {
  for (int attempt = 0; attempt < 2; ++attempt) {  // the second one finds an empty folder
    RunDirectory run = RunDirectory::create(folder_);
    run.write_config({}, Json::Object{});
    replace_file(run.log_file(), "refused");
    const RunDirectory moved = std::move(run);
    EXPECT_TRUE(fs::exists(folder_ / "config.yaml"));
  }
  EXPECT_TRUE(fs::is_empty(folder_));
  // Whatever else was put there stays, and a run that was there before is not touched at all.
  { RunDirectory::create(folder_), replace_file(folder_ / "checkpoints.txt", "a note"); }
  EXPECT_TRUE(fs::exists(folder_ / "checkpoints.txt"));
  RunDirectory::open(folder_).write_config({}, Json::Object{});
  EXPECT_TRUE(fs::exists(folder_ / "config.yaml"));
}

TEST_F(RunDirectoryTest, DropsRowsPastTheCheckpointAndTornOnes) {
  RunDirectory run = RunDirectory::open(folder_);
  for (int64_t step = 1; step <= 5; ++step) run.append_metrics(Json::Object{{"step", step}});
  replace_file(run.metrics_file(), read_file(run.metrics_file()) + "{\"step\": 6, \"lo");
  run.truncate_metrics(3);
  EXPECT_EQ(read_file(run.metrics_file()), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
}

TEST_F(RunDirectoryTest, ReplacesTheStatus) {
  const RunDirectory run = RunDirectory::create(folder_);
  run.write_status(Json::Object{{"state", "running"}});
  run.write_status(Json::Object{{"state", "finished"}});
  EXPECT_EQ(Json::parse(read_file(folder_ / "status.json")).at("state").string(), "finished");
}

}  // namespace
}  // namespace moiety
