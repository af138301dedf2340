// Exec and Saved: noise, uploads, rows over threads, kept tensors; events and graphs.
#include <atomic>
#include <set>

#include <moiety/rows.cuh>

#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class ExecTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, ExecTest, kF32Devices, case_name);

// Random123's known answers pin the generator; here: what the key and the counter depend on.
TEST_P(ExecTest, NoiseDependsOnSeedLayerPurposeBatchRowAndColumn) {
  TensorView x = make(DType::kF32, {5, 7});
  std::set<std::vector<float>> seen;
  const auto draw = [&](bool other) {
    if (other) {
      exec_.uniform("b", x);
    } else {
      exec_.uniform("a", x);
    }
    return get(x);
  };
  seen.insert(draw(false));
  EXPECT_EQ(seen.count(draw(false)), 1U) << "the same key gave other numbers";
  seen.insert(draw(true));
  impl_.layer = 1;
  seen.insert(draw(false));
  impl_.seed = 2;
  seen.insert(draw(false));
  set_step({.batch = 1});
  seen.insert(draw(false));
  EXPECT_EQ(seen.size(), 5U);
  std::set<float> values;
  for (const auto& v : seen) values.insert(v.begin(), v.end());
  EXPECT_EQ(values.size(), 5U * 35U);
  EXPECT_GT(*values.begin(), 0);
  EXPECT_LT(*values.rbegin(), 1);
}

TEST_P(ExecTest, NoiseFollowsTheGlobalRow) {
  TensorView whole = make(DType::kF32, {6, 9}), part = make(DType::kF32, {2, 9});
  exec_.uniform("a", whole);
  TensorView map = on_device(RowMap{.first = 4});
  impl_.rows = static_cast<const RowMap*>(map.ptr);
  exec_.uniform("a", part);
  EXPECT_EQ(get(part), get(whole.slice(0, 4, 2)));
}

TEST_P(ExecTest, BoundNoiseIsTakenAsItIs) {
  const std::vector<float> own = normal(12, 3);
  impl_.bound.emplace_back(RngKey("a").purpose, put(own, DType::kF32, {4, 3}));
  TensorView x = make(DType::kF32, {4, 3});
  exec_.uniform("a", x);
  EXPECT_EQ(get(x), own);
}

TEST_P(ExecTest, UploadsLiveOn) {
  const int32_t table[3] = {5, 6, 7};
  const void* first = exec_.upload(table, sizeof table);
  for (int i = 0; i < 50; ++i) exec_.upload(table, sizeof table);
  int32_t back[3] = {};
  context_->copy(back, first, sizeof back);
  context_->synchronize();
  EXPECT_EQ(back[2], 7);
}

TEST_P(ExecTest, SavedTensorsHaveNames) {
  Saved::Impl impl(*arena_);
  Saved saved(&impl);
  EXPECT_EQ(saved.keep("probs", DType::kF32, {2, 3}).numel(), 6);
  EXPECT_EQ(saved["probs"].dim(1), 3);
  EXPECT_THROW(saved.keep("probs", DType::kF32, {1}), Error);
  try {
    saved["weights"];
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "saved: forward kept no 'weights'; it kept: probs");
  }
}

TEST_P(ExecTest, GraphRepeatsItsWork) {
  TensorView x = put({1, 2, 3}, DType::kF32, {3}), y = make(DType::kF32, {3});
  Graph graph(*context_, [&] { context_->copy(y.ptr, x.ptr, 12); });
  for (float first : {8.f, 9.f}) {
    upload(x, &first, 4);
    graph.launch();
    EXPECT_EQ(get(y)[0], first);
  }
}

TEST_P(ExecTest, EventsTellWhenWorkIsDone) {
  Event begin(context_->device()), end(context_->device());
  begin.record(*context_);
  end.record(*context_);
  end.wait();
  EXPECT_TRUE(end.done());
  EXPECT_GE(end.milliseconds_since(begin), 0.f);
}

TEST(CpuRows, RunsEveryRowOnce) {
  DeviceContext context(Device{}, 3);
  Exec::Impl impl;
  impl.context = &context;
  Exec exec(&impl);
  for (int64_t rows : {0, 1, 2, 31, 32, 33, 1000}) {
    std::vector<std::atomic<int>> hits(static_cast<size_t>(rows));
    for_each_row(exec, rows, [&](int64_t r) { ++hits[static_cast<size_t>(r)]; });
    for (const auto& n : hits) EXPECT_EQ(n, 1);
  }
}

TEST(Device, SaysWhyCudaIsUnavailable) {
  if (cuda_unavailable().empty()) GTEST_SKIP() << "a GPU is here";
  try {
    DeviceContext context(Device{DeviceType::kCuda, 0});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(cuda_unavailable()), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("run.device=cpu"), std::string::npos) << e.what();
  }
}

TEST(Device, CpuDescribesItself) {
  EXPECT_EQ(DeviceContext(Device{}, 1).description(), "CPU, 1 thread");
  EXPECT_EQ(DeviceContext(Device{}, 2).description(), "CPU, 2 threads");
}

}  // namespace
}  // namespace moiety
