// Every wrong configuration of this folder gives exactly the text beside it. With
// MOIETY_UPDATE_EXPECTED=1 the texts are written instead, to be read before they are committed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <moiety/error.h>

#include "core/config/load.h"
#include "core/plugin/registry.h"
#include "core/train/check_start.h"

namespace moiety {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MOIETY_SOURCE_DIR) / "tests/config_errors";
const fs::path kPlugins = fs::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins";

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".yaml" || extension == ".json") {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

LoadOptions options_of(const fs::path& file) {
  LoadOptions options;
  std::ifstream in(file);
  const std::string ranks = "--world-size ";
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(ranks)) {
      options.world_size = std::stoll(line.substr(ranks.size()));
    } else {
      options.overrides.push_back(line);
    }
  }
  return options;
}

std::string error_of(const std::string& name, const LoadOptions& options) {
  PluginRegistry plugins({kPlugins});
  std::string text;
  try {
    check_start(load_config(name, options, plugins), plugins);
    return "no error\n";
  } catch (const ConfigError& e) {
    text = std::string(e.what()) + "\n";
  }
  const std::string folder = kPlugins.string();
  for (size_t at = text.find(folder); at != text.npos; at = text.find(folder)) {
    text.replace(at, folder.size(), "PLUGINS");
  }
  return text;
}

class ConfigErrors : public testing::TestWithParam<std::string> {};

TEST_P(ConfigErrors, TextIsExact) {
  fs::current_path(kFolder);
  const fs::path stem = fs::path(GetParam()).stem();
  const std::string text = error_of(GetParam(), options_of(stem.string() + ".args"));
  const fs::path expected = kFolder / (stem.string() + ".expected");
  if (std::getenv("MOIETY_UPDATE_EXPECTED") != nullptr) std::ofstream(expected) << text;
  EXPECT_EQ(text, read(expected));
  EXPECT_NE(text, "no error\n");
}

INSTANTIATE_TEST_SUITE_P(Files, ConfigErrors, testing::ValuesIn(case_names()),
                         [](const auto& test) { return fs::path(test.param).stem().string(); });

}  // namespace
}  // namespace moiety
