// At which sizes a configuration's components are asked.
#include <gtest/gtest.h>

#include <string>

#include <moiety/error.h>

#include "core/config/load.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace {

std::string error_of(const std::string& moe) {
  const std::string build = MOIETY_BINARY_DIR;
  PluginRegistry plugins({build + "/lib/moiety/plugins", build + "/bin/tests/good_plugins"});
  try {
    parse_config(
        "model: {layers: 8}\ndata: {type: synthetic}\ntrain_batch_size: 2\nrun: {steps: 1}\n"
        "moe: {num_experts: 4, gate: {type: few_experts}, " +
            moe + "}\n",
        "test.yaml", {}, plugins);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

TEST(CheckComponents, AGateIsAskedAtTheSizeThatTheExpertTypeDecides) {
  EXPECT_EQ(error_of("expert: {type: ffn}"), "no error");
  const std::string grown = error_of("expert: {type: pyramid_residual}");
  EXPECT_NE(grown.find("(layer 5): at most 4 experts, got 8"), std::string::npos) << grown;
  EXPECT_EQ(error_of("expert: {type: pyramid_residual, params: {last_layers: 0}}"), "no error");
}

}  // namespace
}  // namespace moiety
