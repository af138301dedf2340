// A wrong plugin fails the check of its name and no other; every plugin of the tree passes; every
// check of the kit has a plugin that it catches.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/device/device.h"
#include "core/testing/conformance.h"

namespace moiety::testing {

namespace {

namespace fs = std::filesystem;

const fs::path kPlugins = fs::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins";
const fs::path kWrong = fs::path(MOIETY_BINARY_DIR) / "bin/tests/plugins_wrong";
const std::set<std::string> kOnCuda = {"cpu_equals_cuda", "no_sync", "capture"};

std::vector<Finding> check(const fs::path& file) {
  PluginRegistry plugins({kPlugins});
  return check_library(plugins, file);
}

std::string kind_of(const Finding& f) { return f.component.substr(0, f.component.find(' ')); }

/// By component: the checks that failed, and the one that should.
void expect_caught(const std::vector<Finding>& findings) {
  std::map<std::string, std::set<std::string>> failed;
  std::string details;
  for (const Finding& f : findings) {
    std::set<std::string>& of_component = failed[f.component];
    if (f.outcome != Outcome::kFail) continue;
    of_component.insert(f.check);
    details += f.component + ": " + f.check + ": " + f.detail + "\n";
  }
  ASSERT_FALSE(failed.empty());
  for (const auto& [component, checks] : failed) {
    const std::string name = component.substr(component.find(" wrong_") + 7);
    const bool skipped = kOnCuda.contains(name) && !cuda_unavailable().empty();
    EXPECT_EQ(checks, skipped ? std::set<std::string>{} : std::set{name}) << component << "\n"
                                                                          << details;
  }
}

class WrongPlugin : public ::testing::TestWithParam<const char*> {};

TEST_P(WrongPlugin, FailsTheCheckOfItsNameAndNoOther) {
  expect_caught(check(kWrong / ("moiety_" + std::string(GetParam()) + ".so")));
}
INSTANTIATE_TEST_SUITE_P(Kinds, WrongPlugin,
                         ::testing::Values("gating_wrong", "gating_wrong_cuda", "expert_wrong",
                                           "optimizer_wrong", "data_wrong", "objective_wrong"),
                         [](const auto& test) { return std::string(test.param); });

/// The names under which the kit reports, by kind, from the plugins of the tree.
class RightPlugin : public ::testing::TestWithParam<const char*> {};

TEST_P(RightPlugin, Passes) {
  for (const Finding& f : check(kPlugins / ("moiety_" + std::string(GetParam()) + ".so"))) {
    EXPECT_NE(f.outcome, Outcome::kFail) << f.component << ": " << f.check << ": " << f.detail;
    const bool explained = f.outcome != Outcome::kSkip || !f.detail.empty();
    EXPECT_TRUE(explained) << f.check << " was skipped without a reason";
  }
}
INSTANTIATE_TEST_SUITE_P(Tree, RightPlugin,
                         ::testing::Values("gating_top1", "gating_top2", "gating_topk",
                                           "gating_softmax_topk", "gating_sigmoid_topk",
                                           "gating_expert_choice", "gating_hash", "gating_sinkhorn",
                                           "expert_ffn", "expert_swiglu", "optimizer_adamw",
                                           "optimizer_adam", "optimizer_sgd", "data_text",
                                           "data_synthetic", "objective_causal_lm"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Kit, EveryCheckHasAPluginThatItCatches) {
  // Checks of what all kinds share need one wrong plugin, the others one a kind.
  const std::set<std::string> shared = {"options",         "declarations", "lifetime",
                                        "cpu_equals_cuda", "no_sync",      "capture"};
  std::set<std::string> wrong;  // "gating mask", and "mask"
  PluginRegistry plugins({kPlugins});
  for (const char* file : {"gating_wrong", "gating_wrong_cuda", "expert_wrong", "optimizer_wrong",
                           "data_wrong", "objective_wrong"}) {
    plugins.add_file(kWrong / ("moiety_" + std::string(file) + ".so"));
  }
  for (const char* kind : {"gating", "expert", "optimizer", "data", "objective"}) {
    for (const std::string& name : plugins.names(*kind_from_name(kind))) {
      if (!name.starts_with("wrong_")) continue;
      wrong.insert(std::string(kind) + " " + name.substr(6));
      wrong.insert(name.substr(6));
    }
  }
  for (const char* file :
       {"gating_top1", "expert_ffn", "optimizer_sgd", "data_text", "objective_causal_lm"}) {
    for (const Finding& f : check(kPlugins / ("moiety_" + std::string(file) + ".so"))) {
      const bool caught =
          wrong.contains(shared.contains(f.check) ? f.check : kind_of(f) + " " + f.check);
      EXPECT_TRUE(caught) << kind_of(f) << ": no plugin is wrong in the way of " << f.check;
    }
  }
}

TEST(Kit, FailsAGateThatLeaksAndDoesNotSaySo) {
  PluginRegistry plugins({kPlugins});
  ComponentInfo gate = plugins.find(ComponentKind::kGating, "expert_choice");
  std::erase_if(gate.schema,
                [](const OptionSpec& spec) { return spec.name == "allow_future_leak"; });
  std::set<std::string> failed;
  for (const Finding& f : check_component(plugins, gate)) {
    if (f.outcome != Outcome::kFail) continue;
    failed.insert(f.check);
    EXPECT_NE(f.detail.find("allow_future_leak"), std::string::npos) << f.detail;
  }
  EXPECT_EQ(failed, std::set<std::string>{"split"});
}

TEST(Kit, SaysWhatItTimes) {
  PluginRegistry plugins({kPlugins});
  int told = 0;
  for (const Finding& f :
       check_library(plugins, kPlugins / "moiety_gating_top1.so", {.perf = true})) {
    if (f.check == "perf") told += f.detail.find("us a call") != std::string::npos;
  }
  EXPECT_EQ(told, 1);
}

TEST(Kit, RefusesADeviceItDoesNotKnow) {
  PluginRegistry plugins({kPlugins});
  const fs::path file = kPlugins / "moiety_gating_top1.so";
  EXPECT_THROW(check_library(plugins, file, {.device = "tpu"}), Error);
  EXPECT_THROW(check_library(plugins, "/nowhere/moiety_gating_none.so"), PluginError);
}

}  // namespace

}  // namespace moiety::testing
