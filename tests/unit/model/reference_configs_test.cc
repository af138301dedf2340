// configs/reference: each file is a good configuration of a model as large as its source says. The
// file's x-parameters hold the published number and the exact one, counted by formula.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include <moiety/error.h>

#include "core/base/files.h"
#include "core/config/explain.h"
#include "core/config/load.h"
#include "core/model/parameter_count.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MOIETY_SOURCE_DIR) / "configs/reference";

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".yaml") out.push_back(entry.path().filename());
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// A number of x-parameters.
std::optional<double> number(const std::string& text, const std::string& key) {
  std::smatch match;
  const std::regex line("\n  " + key + ": ([0-9.e+-]+)\n");
  if (!std::regex_search(text, match, line)) return std::nullopt;
  return std::stod(match[1]);
}

/// What a file needs and this build does not have, or "".
std::string missing(const std::string& text, PluginRegistry& plugins) {
  for (const char* key : {"qk_norm", "head_dim", "mla", "shared_expert"}) {
    if (text.find("  " + std::string(key) + ":") == std::string::npos) continue;
    const std::string section = std::string(key) == "shared_expert" ? "moe." : "model.";
    try {
      explain_key(section + key, plugins);
    } catch (const ConfigError&) {
      return section + key;
    }
  }
  for (const char* gate : {"softmax_topk", "sigmoid_topk"}) {
    const auto known = plugins.names(ComponentKind::kGating);
    const bool installed = std::find(known.begin(), known.end(), gate) != known.end();
    if (text.find(gate) != std::string::npos && !installed) return gate;
  }
  return "";
}

class ReferenceConfig : public testing::TestWithParam<std::string> {};

TEST_P(ReferenceConfig, HasThePublishedSize) {
  PluginRegistry plugins({fs::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins"});
  const fs::path file = kFolder / GetParam();
  const std::string text = read_file(file);
  const std::string needs = missing(text, plugins);
  if (!needs.empty()) GTEST_SKIP() << "needs " << needs << ", which this build does not have";
  const RunConfig config = load_config(file, {}, plugins);
  const ParameterCount count = count_parameters(config, plugins);
  EXPECT_EQ(count.total, static_cast<int64_t>(number(text, "count").value()));
  EXPECT_EQ(count.active, static_cast<int64_t>(number(text, "active").value()));
  EXPECT_NE(text.find("\n  source: "), std::string::npos);
  const auto published = number(text, "published");
  if (!published) return;
  EXPECT_LE(std::abs(static_cast<double>(count.total) - *published),
            number(text, "within").value() * *published)
      << count.total << " parameters, published are " << *published;
}

INSTANTIATE_TEST_SUITE_P(Files, ReferenceConfig, testing::ValuesIn(names()), [](const auto& test) {
  std::string name = fs::path(test.param).stem();
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace
}  // namespace moiety
