// A comparison that cannot fail proves nothing: every reference is changed a little, and the row
// that should notice must fail, and no other case.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>

#include "core/checkpoint/hdf5.h"
#include "core/testing/parity.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety::testing {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(MOIETY_SOURCE_DIR) / "tests/golden";
constexpr const char* kReferences[] = {
    "gating.h5",  "optimizers.h5",    "lr_schedules.h5", "losses.h5",      "moe_layers.h5",
    "deepspeed",  "expert_choice.h5", "residual_moe.h5", "tiny_gpt2",      "tiny_llama",
    "tiny_olmoe", "tiny_mixtral",     "tiny_qwen3_moe",  "tiny_deepseek_v3"};

class ParityTest : public ::testing::Test {
 protected:
  ParityTest() {
    const auto options = std::filesystem::copy_options::recursive;
    for (const char* name : kReferences) {
      std::filesystem::copy(kGolden / name, folder_ / name, options);
    }
  }
  ParityReport run() { return run_parity(folder_.path(), plugins_, context_); }

  /// Changes one element in the middle of a data set by `by`, in the bytes of the file.
  template <class T>
  void change(const char* name, const std::vector<T>& values, T by) {
    std::string bytes = contents(folder_ / name);
    const std::string old(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    const size_t at = bytes.find(old);
    ASSERT_NE(at, std::string::npos) << name;
    ASSERT_EQ(bytes.find(old, at + 1), std::string::npos) << name << ": the values are there twice";
    const size_t middle = values.size() / 2;
    const T value = values[middle] + by;
    std::memcpy(&bytes[at + middle * sizeof(T)], &value, sizeof(T));
    overwrite(folder_ / name, bytes);
  }
  h5::File open(const char* name) { return {folder_ / name, h5::File::Mode::kRead}; }

  /// Exactly this quantity of this case fails.
  void expect_failure(const std::string& item, const std::string& quantity) {
    const ParityReport report = run();
    EXPECT_FALSE(report.passed());
    std::set<std::string> failed;
    for (const ParityRow& row : report.rows()) {
      if (row.status == ParityRow::Status::kFail) failed.insert(row.item + " " + row.quantity);
    }
    EXPECT_EQ(failed, std::set<std::string>{item + " " + quantity});
  }

  TemporaryFolder folder_;
  DeviceContext context_{Device{}};
  PluginRegistry plugins_{{std::filesystem::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins"}};
};

TEST_F(ParityTest, PassesUnchanged) {
  const ParityReport report = run();
  EXPECT_TRUE(report.passed()) << report.table();
  EXPECT_NE(report.table().find("later"), std::string::npos);
}

TEST_F(ParityTest, PassesOnCuda) {
  const std::string why = cuda_unavailable();
  const char* required = std::getenv("MOIETY_REQUIRE_GPU");
  if (!why.empty() && required != nullptr && std::string(required) == "1") FAIL() << why;
  if (!why.empty()) GTEST_SKIP() << why;
  DeviceContext cuda(Device{DeviceType::kCuda, 0});
  const ParityReport report = run_parity(folder_.path(), plugins_, cuda);
  EXPECT_TRUE(report.passed()) << report.table();
}

TEST_F(ParityTest, SeesCombineWeights) {
  const auto values = open("gating.h5").floats("top2/case_016/combine_weight");
  change("gating.h5", values, 1e-5f);
  expect_failure("top2/case_016", "combine_weight");
}
TEST_F(ParityTest, SeesSlots) {
  const auto wide = open("gating.h5").integers("topk/case_025/slot");
  change("gating.h5", std::vector<int32_t>(wide.begin(), wide.end()), 1);
  expect_failure("topk/case_025", "slot");
}
TEST_F(ParityTest, SeesRandomDraws) {
  auto values = open("gating.h5").floats("top1/case_003/noise_gumbel");
  change("gating.h5", values, 1000.f);  // one token chooses another expert
  const ParityReport report = run();
  EXPECT_FALSE(report.passed());
  for (const ParityRow& row : report.rows()) {
    EXPECT_TRUE(row.status != ParityRow::Status::kFail || row.item == "top1/case_003");
  }
}
TEST_F(ParityTest, SeesGateGradients) {
  const auto values = open("gating.h5").floats("top1/case_013/dlogits");
  change("gating.h5", values, 1e-5f);
  expect_failure("top1/case_013", "dlogits");
}
TEST_F(ParityTest, SeesOptimizerSteps) {
  const auto values = open("optimizers.h5").floats("adam_l2/params");
  change("optimizers.h5", values, 1e-4f);
  expect_failure("adam_l2", "params, 10 steps");
}
TEST_F(ParityTest, SeesLearningRates) {
  const auto values = open("lr_schedules.h5").numbers("WarmupCosineLR/lr");
  change("lr_schedules.h5", values, 1e-8);
  const ParityReport report = run();
  EXPECT_FALSE(report.passed());
}
TEST_F(ParityTest, SeesTheZLoss) {
  const auto values = open("losses.h5").floats("router_z/case_001/dlogits");
  change("losses.h5", values, 1e-5f);
  expect_failure("router_z/case_001", "dlogits");
}
TEST_F(ParityTest, SeesExpertGradients) {
  const auto values = open("moe_layers.h5").floats("olmoe/grads/experts.gate_up_proj");
  change("moe_layers.h5", values, 0.1f);
  expect_failure("olmoe", "d experts.gate_up_proj");
}
TEST_F(ParityTest, SeesTheNormalisationOfWeights) {
  const auto values = open("moe_layers.h5").floats("qwen3_moe_norm0/y");
  change("moe_layers.h5", values, 0.01f);
  expect_failure("qwen3_moe_norm0", "y");
}
TEST_F(ParityTest, SeesCorrectionBiases) {
  const auto values =
      open("moe_layers.h5").floats("deepseek_v3/weights/gate.e_score_correction_bias");
  change("moe_layers.h5", values, 10.f);  // every token takes this expert
  const ParityReport report = run();
  EXPECT_FALSE(report.passed());
  for (const ParityRow& row : report.rows()) {
    EXPECT_TRUE(row.status != ParityRow::Status::kFail || row.item == "deepseek_v3");
  }
}
TEST_F(ParityTest, SeesWeightsOfExpertChoice) {
  change("expert_choice.h5", open("expert_choice.h5").floats("case_001/weight"), 1e-4f);
  expect_failure("case_001", "weight");
}
TEST_F(ParityTest, SeesGradientsOfExpertChoice) {
  change("expert_choice.h5", open("expert_choice.h5").floats("case_003/dlogits"), 1e-5f);
  expect_failure("case_003", "dlogits");
}
TEST_F(ParityTest, SeesTheResidualMix) {
  change("residual_moe.h5", open("residual_moe.h5").floats("dcoef_weight"), 1e-3f);
  expect_failure("mix", "dcoef_weight");
}
TEST_F(ParityTest, SeesModelGradients) {
  const char* name = "tiny_mixtral/expected.h5";
  const auto values = open(name).floats("grads/model.layers.1.self_attn.k_proj.weight");
  change(name, values, 1e-3f);
  expect_failure("model", "d layers.1.attention.qkv.weight");
}
TEST_F(ParityTest, SeesLatentGradients) {
  const char* name = "tiny_deepseek_v3/expected.h5";
  change(name, open(name).floats("grads/model.layers.1.self_attn.kv_a_proj_with_mqa.weight"),
         1e-3f);
  expect_failure("model", "d layers.1.attention.kv_down.weight");
}
TEST_F(ParityTest, SeesQueryNormGradients) {
  for (const char* model : {"tiny_olmoe", "tiny_qwen3_moe"}) {
    const std::string name = std::string(model) + "/expected.h5";
    change(name.c_str(), open(name.c_str()).floats("grads/model.layers.2.self_attn.q_norm.weight"),
           1e-3f);
  }
  expect_failure("model", "d layers.2.attention.q_norm.weight");
}
TEST_F(ParityTest, SeesModelLosses) {
  const char* name = "tiny_gpt2/expected.h5";
  change(name, open(name).numbers("adamw_losses"), 2e-3);
  expect_failure("model", "losses of 20 steps");
}
TEST_F(ParityTest, SeesLossScales) {
  const char* name = "deepspeed/dynamic_loss_scaler.jsonl";
  std::string text = contents(folder_ / name);
  const std::string from = "\"loss_scale\":[65536,65536";
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, from.size(), "\"loss_scale\":[65536,32768");
  overwrite(folder_ / name, text);
  const ParityReport report = run();
  const auto failed = std::count_if(report.rows().begin(), report.rows().end(), [](const auto& r) {
    return r.status == ParityRow::Status::kFail;
  });
  EXPECT_EQ(failed, 1);
}

TEST_F(ParityTest, MissingFilesFail) {
  for (const char* name : kReferences) {
    std::filesystem::rename(folder_ / name, folder_ / "kept");
    EXPECT_FALSE(run().passed()) << name;
    std::filesystem::rename(folder_ / "kept", folder_ / name);
  }
}

TEST(ParityReport, CasesThatNobodyComparedFail) {
  ParityReport report;
  report.expect("a.h5", "x");
  report.expect("a.h5", "y");
  report.begin("a.h5", "x");
  report.add("q", 0, 0);
  report.finish();
  EXPECT_FALSE(report.passed());
  EXPECT_NE(report.table().find("1 of 2 listed cases"), std::string::npos);
}

TEST(ParityReport, NaNFails) {
  ParityReport report;
  report.expect("a.h5", "x");
  report.begin("a.h5", "x");
  report.add("q", std::nan(""), 1e9);
  EXPECT_FALSE(report.passed());
}

}  // namespace
}  // namespace moiety::testing
