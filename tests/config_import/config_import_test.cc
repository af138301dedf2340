// Every ds_config and launch script of this folder becomes exactly the text beside it, which
// `config check` accepts. With MOIETY_UPDATE_EXPECTED=1 the texts are written instead, to be read
// before they are committed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include <moiety/error.h>

#include "core/base/files.h"
#include "core/config/import/import.h"
#include "core/config/load.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MOIETY_SOURCE_DIR) / "tests/config_import";

PluginRegistry tree_plugins() {
  return PluginRegistry({fs::path(MOIETY_BINARY_DIR) / "lib/moiety/plugins"});
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".json" || extension == ".sh") names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

ImportOptions options_of(const fs::path& stem) {
  ImportOptions options;
  const fs::path file = stem.string() + ".args";
  if (fs::exists(file)) options.world_size = std::stoll(read_file(file).substr(13));
  options.folder = kFolder;
  return options;
}

ImportResult import(const std::string& name, PluginRegistry& plugins) {
  const std::string text = read_file(kFolder / name);
  const ImportOptions options = options_of(kFolder / fs::path(name).stem());
  return name.ends_with(".json") ? import_deepspeed(text, name, options, plugins)
                                 : import_arguments(text, name, options, plugins);
}

ImportResult import_line(const std::string& line) {
  PluginRegistry plugins = tree_plugins();
  return import_arguments(line, "launch line", {}, plugins);
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line) != std::string::npos;
}

class ConfigImport : public testing::TestWithParam<std::string> {};

TEST_P(ConfigImport, TextIsExactAndGood) {
  PluginRegistry plugins = tree_plugins();
  const ImportResult result = import(GetParam(), plugins);
  const fs::path expected = kFolder / fs::path(GetParam()).stem().concat(".expected");
  if (std::getenv("MOIETY_UPDATE_EXPECTED") != nullptr) std::ofstream(expected) << result.yaml;
  EXPECT_EQ(result.yaml, read_file(expected));
  const RunConfig config = parse_config(result.yaml, "imported", {{}, result.world_size}, plugins);
  EXPECT_GT(config.train_batch_size, 0);
}

INSTANTIATE_TEST_SUITE_P(Files, ConfigImport, testing::ValuesIn(case_names()),
                         [](const auto& test) { return fs::path(test.param).stem().string(); });

/// No flag is passed over in silence.
TEST_P(ConfigImport, NamesEveryFlag) {
  if (!GetParam().ends_with(".sh")) GTEST_SKIP() << "no launch line";
  PluginRegistry plugins = tree_plugins();
  const std::string text = read_file(kFolder / GetParam());
  const std::string yaml = import(GetParam(), plugins).yaml;
  const std::regex flag("--[a-z][a-zA-Z0-9_-]+");
  int count = 0;
  for (std::sregex_iterator it(text.begin(), text.end(), flag), end; it != end; ++it, ++count) {
    if (it->str() == "--deepspeed_config") continue;  // its keys are there instead
    EXPECT_NE(yaml.find(it->str()), std::string::npos) << it->str();
  }
  EXPECT_GT(count, 10);
}

/// What is not installed today is mapped where it is.
TEST(ImportArguments, AsksWhatIsInstalled) {
  PluginRegistry plugins = tree_plugins();
  const std::string line =
      "deepspeed pretrain_gpt.py --micro-batch-size 1 --lr 1e-3 "
      "--lr-decay-style constant --optimizer ";
  for (const std::string name : {"adam", "sgd", "lion", "muon"}) {
    const auto names = plugins.names(ComponentKind::kOptimizer);
    const bool installed = std::find(names.begin(), names.end(), name) != names.end();
    const ImportResult result = import_line(line + name);
    EXPECT_EQ(has_line(result.yaml, installed && name == "adam"
                                        ? "  # Decoupled weight decay (AdamW), as Megatron's adam."
                                        : "  type: " + name),
              installed);
    EXPECT_EQ(result.refused.empty(), installed) << name;
  }
}

TEST(ImportArguments, MapsOrRefusesTheTeacher) {
  PluginRegistry plugins = tree_plugins();
  const auto names = plugins.names(ComponentKind::kObjective);
  const bool installed = std::find(names.begin(), names.end(), "mos") != names.end();
  const ImportResult result = import_line(
      "deepspeed pretrain_gpt.py --micro-batch-size 1 --mos --kd-temp 2.0 "
      "--load-teacher runs/teacher");
  EXPECT_EQ(result.refused.empty(), installed) << result.yaml;
  EXPECT_EQ(has_line(result.yaml, "    temperature: 2.0"), installed);
  EXPECT_EQ(has_line(result.yaml, "    teacher: runs/teacher"), installed);
}

TEST(ImportArguments, NeedsALaunch) {
  try {
    import_line("mkdir -p log");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(),
                 "launch line: no command starts a training; expected `deepspeed SCRIPT.py FLAGS`, "
                 "`torchrun ...`, `python ...`, or flags alone");
  }
}

TEST(ImportDeepSpeed, EmptyFileIsAnError) {
  PluginRegistry plugins = tree_plugins();
  for (const char* text : {"", "{}", "// nothing", "[]"}) {
    EXPECT_THROW(import_deepspeed(text, "a.json", {}, plugins), ConfigError) << text;
  }
}

TEST(ImportDeepSpeed, DuplicateKeysAreErrors) {
  PluginRegistry plugins = tree_plugins();
  EXPECT_THROW(
      import_deepspeed("{\"train_batch_size\": 1, \"train_batch_size\": 2}", "a.json", {}, plugins),
      ConfigError);
}

}  // namespace
}  // namespace moiety
