// Round trips are bit for bit; every kind of damage is found and named.
#include <gtest/gtest.h>

#include <cstring>

#include "core/checkpoint/crc32.h"
#include "core/checkpoint/hdf5.h"
#include "core/checkpoint/layout.h"
#include "core/checkpoint/writer.h"
#include "tests/unit/checkpoint/state.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety {
namespace {

TEST(Crc32, IsZlibs) {
  EXPECT_EQ(crc32("123456789", 9), 0xCBF43926u);
  const std::string text(1000, 'x');
  EXPECT_EQ(crc32(text.data() + 13, 987, crc32(text.data(), 13)), crc32(text.data(), 1000));
}

TEST(Checkpoint, RestoresEveryBit) {
  const TemporaryFolder folder;
  State saved(1), loaded(2);
  ASSERT_NE(saved.bytes(), loaded.bytes());
  save_checkpoint(folder / "a.h5", saved.table, some_info());
  load_checkpoint(folder / "a.h5", loaded.table);
  EXPECT_EQ(saved.bytes(), loaded.bytes());
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5.tmp"));
}

TEST(Checkpoint, RestoresTheRunState) {
  const TemporaryFolder folder;
  State state(1);
  save_checkpoint(folder / "a.h5", state.table, some_info());
  const CheckpointInfo got = read_checkpoint_info(folder / "a.h5"), want = some_info();
  EXPECT_EQ(got.state.batch, want.state.batch);
  EXPECT_EQ(got.state.update, want.state.update);
  EXPECT_EQ(got.state.tokens, want.state.tokens);
  EXPECT_EQ(got.state.seconds, want.state.seconds);
  EXPECT_EQ(got.state.sample, want.state.sample);
  EXPECT_EQ(got.state.seed, want.state.seed);
  EXPECT_EQ(got.state.bad_steps, want.state.bad_steps);
  const LossScaler &a = got.state.scaler, &b = want.state.scaler;
  EXPECT_EQ(a.scale, b.scale);
  EXPECT_EQ(a.iteration, b.iteration);
  EXPECT_EQ(a.last_overflow, b.last_overflow);
  EXPECT_EQ(a.hysteresis_left, b.hysteresis_left);
  EXPECT_EQ(a.min_scale, b.min_scale);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ(a.hysteresis, b.hysteresis);
  EXPECT_EQ(a.dynamic, b.dynamic);
  EXPECT_EQ(a.consecutive_hysteresis, b.consecutive_hysteresis);
  EXPECT_EQ(a.exhausted, b.exhausted);
  EXPECT_EQ(got.resolved_yaml, want.resolved_yaml);
  EXPECT_EQ(got.moiety_version, want.moiety_version);
  ASSERT_EQ(got.plugins.size(), 2u);
  EXPECT_EQ(got.plugins[0].sha256, want.plugins[0].sha256);
  EXPECT_EQ(got.plugins[1].name, "adamw");
}

TEST(Checkpoint, IsLaidOutByNameAndExpert) {
  const TemporaryFolder folder;
  State state(1);
  save_checkpoint(folder / "a.h5", state.table, some_info());
  const h5::File file(folder / "a.h5", h5::File::Mode::kRead);
  const h5::DatasetInfo expert = file.info("parameters/layers.1.moe.experts.w_in/expert_00002");
  EXPECT_EQ(expert.shape, (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(expert.dtype, DType::kF32);  // the master, not the bf16 value
  EXPECT_EQ(file.info("parameters/frozen.weight").dtype, DType::kBF16);
  EXPECT_EQ(file.info("optimizer/second/layers.1.moe.experts.w_in/expert_00000").dtype,
            DType::kBF16);
  EXPECT_EQ(file.info("optimizer/count/embedding.token").dtype, DType::kI32);
  EXPECT_EQ(file.info("buffers/layers.1.moe.experts.load/expert_00001").dtype, DType::kI64);
  EXPECT_FALSE(file.exists("optimizer/first/frozen.weight"));
}

TEST(Checkpoint, WeightsFitAnotherPrecision) {
  const TemporaryFolder folder;
  State saved(1), loaded(2, {DType::kF32, 7, "final_norm.weight", /*state=*/false});
  save_checkpoint(folder / "a.h5", saved.table, some_info());
  load_weights(folder / "a.h5", loaded.table);
  for (const char* name : {"embedding.token", "layers.1.moe.experts.w_in", "frozen.weight"}) {
    EXPECT_EQ(loaded.table.read(*loaded.table.find(name)),
              saved.table.read(*saved.table.find(name)));
  }
}

/// A file does not tell how masters lay, and a table takes it whichever way its own lie.
TEST(Checkpoint, SplitMastersAreSavedWhole) {
  const TemporaryFolder folder;
  const TableOptions split{.split = true};
  State whole(1), parts(1, split), from_parts(2), from_whole(2, split);
  save_checkpoint(folder / "whole.h5", whole.table, some_info());
  save_checkpoint(folder / "parts.h5", parts.table, some_info());
  EXPECT_EQ(read_checkpoint_info(folder / "whole.h5").manifest,
            read_checkpoint_info(folder / "parts.h5").manifest);
  load_checkpoint(folder / "parts.h5", from_parts.table);
  load_checkpoint(folder / "whole.h5", from_whole.table);
  EXPECT_EQ(from_parts.bytes(), whole.bytes());
  EXPECT_EQ(from_whole.bytes(), parts.bytes());
}

TEST(Checkpoint, SaysWhatDoesNotFit) {
  const TemporaryFolder folder;
  State saved(1), larger(2, {DType::kBF16, 9}), renamed(2, {DType::kBF16, 7, "final_norm.weigh"});
  save_checkpoint(folder / "a.h5", saved.table, some_info());
  const auto before = larger.bytes();
  const std::string shape = error_of([&] { load_checkpoint(folder / "a.h5", larger.table); });
  EXPECT_NE(shape.find("a.h5: /parameters/embedding.token: the file has f32 [7, 4], the model "
                       "expects f32 [9, 4]"),
            std::string::npos)
      << shape;
  EXPECT_EQ(larger.bytes(), before) << "a table that does not fit was partly written";
  const std::string name = error_of([&] { load_weights(folder / "a.h5", renamed.table); });
  EXPECT_NE(name.find("missing in the file: /parameters/final_norm.weigh; did you mean "
                      "'parameters/final_norm.weight'?"),
            std::string::npos)
      << name;
  EXPECT_NE(name.find("unknown to the model: /parameters/final_norm.weight"), std::string::npos);
}

TEST(Checkpoint, RefusesToResumeFromWeightsAlone) {
  const TemporaryFolder folder;
  State weights(1, {DType::kBF16, 7, "final_norm.weight", /*state=*/false}), full(2);
  save_checkpoint(folder / "a.h5", weights.table, some_info());
  const std::string error = error_of([&] { load_checkpoint(folder / "a.h5", full.table); });
  EXPECT_NE(error.find("model.init_from"), std::string::npos) << error;
}

TEST(Checkpoint, FindsEveryTornFile) {
  const TemporaryFolder folder;
  State state(1), other(2);
  save_checkpoint(folder / "a.h5", state.table, some_info());
  const std::string whole = contents(folder / "a.h5");
  EXPECT_TRUE(verify_checkpoint(folder / "a.h5").empty());
  for (size_t cut = 0; cut < whole.size(); cut += 4999) {
    overwrite(folder / "torn.h5", whole.substr(0, cut));
    EXPECT_FALSE(verify_checkpoint(folder / "torn.h5").empty()) << cut << " bytes";
    EXPECT_NE(error_of([&] { load_checkpoint(folder / "torn.h5", other.table); }), "") << cut;
  }
}

TEST(Checkpoint, FindsFlippedBitsAndHoles) {
  const TemporaryFolder folder;
  State state(1);
  save_checkpoint(folder / "a.h5", state.table, some_info());
  const std::string whole = contents(folder / "a.h5");
  const auto expect_found = [&](size_t at, const std::string& damaged) {
    overwrite(folder / "b.h5", damaged);
    if (!verify_checkpoint(folder / "b.h5").empty()) return;
    State loaded(2);  // bytes that nothing uses may differ, but nothing else
    load_checkpoint(folder / "b.h5", loaded.table);
    EXPECT_EQ(loaded.bytes(), state.bytes()) << "byte " << at;
    const CheckpointInfo info = read_checkpoint_info(folder / "b.h5");
    EXPECT_EQ(info.resolved_yaml, some_info().resolved_yaml) << "byte " << at;
    EXPECT_EQ(info.state.sample, some_info().state.sample) << "byte " << at;
  };
  for (size_t at = 0; at < whole.size(); at += 509) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    expect_found(at, damaged);
  }
  for (size_t at = 0; at + 512 <= whole.size(); at += 4096) {
    std::string damaged = whole;
    std::memset(damaged.data() + at, 0, 512);
    expect_found(at, damaged);
  }
}

TEST(Checkpoint, NamesTheDamagedTensor) {
  const TemporaryFolder folder;
  State state(1);
  save_checkpoint(folder / "a.h5", state.table, some_info());
  std::string bytes = contents(folder / "a.h5");
  const TensorView tensor = state.table.find("embedding.token")->authoritative();
  const size_t at = bytes.find(std::string(static_cast<const char*>(tensor.ptr), 32));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 5] = static_cast<char>(bytes[at + 5] + 1);
  overwrite(folder / "a.h5", bytes);
  const std::vector<std::string> wrong = verify_checkpoint(folder / "a.h5");
  ASSERT_EQ(wrong.size(), 1u);
  EXPECT_NE(wrong[0].find("a.h5: /parameters/embedding.token"), std::string::npos) << wrong[0];
}

TEST(CheckpointWriter, WantsEveryExpertExactlyOnce) {
  const TemporaryFolder folder;
  const std::vector<float> data(20);
  SavedTensor tensor;
  tensor.path = "parameters/w", tensor.shape = {3, 4, 5}, tensor.per_expert = true;
  CheckpointWriter writer(folder / "a.h5", some_info());
  writer.add(tensor, 0, data.data());
  writer.add(tensor, 2, data.data());
  EXPECT_NE(error_of([&] { writer.add(tensor, 2, data.data()); }).find("written twice"),
            std::string::npos);
  EXPECT_NE(error_of([&] { writer.finish(); }).find("2 of 3 experts"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5"));
}

TEST(Checkpoint, DescribesItself) {
  const TemporaryFolder folder;
  State state(1);
  save_checkpoint(folder / "a.h5", state.table, some_info());
  const std::string text = describe_checkpoint(folder / "a.h5");
  for (const char* part :
       {"batch 12", "layers.1.moe.experts.w_in", "3 experts of [4, 5]", "topk"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

}  // namespace
}  // namespace moiety
