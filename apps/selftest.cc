// moiety selftest parity
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/testing/parity.h"

namespace moiety::apps {
namespace {

struct Arguments {
  std::string golden, device = "cpu";
  PluginPath plugins;
};

/// tests/golden of the sources that this binary was built from, or of the current folder.
std::string default_golden() {
  const std::filesystem::path of_sources = MOIETY_SOURCE_DIR "/tests/golden";
  return std::filesystem::is_directory(of_sources) ? of_sources.string() : "tests/golden";
}

int parity(const Arguments& a) {
  const DeviceType type = a.device == "cuda" ? DeviceType::kCuda : DeviceType::kCpu;
  DeviceContext context(Device{type, 0});
  PluginRegistry plugins = a.plugins.registry();
  const testing::ParityReport report = testing::run_parity(a.golden, plugins, context);
  std::fputs(report.table().c_str(), stdout);
  return report.passed() ? kOk : kFailedCheck;
}

}  // namespace

void add_selftest(CLI::App& app, int& code) {
  CLI::App* selftest = app.add_subcommand("selftest", "Checks this build against known results");
  selftest->require_subcommand(1);
  const auto a = std::make_shared<Arguments>();
  a->golden = default_golden();
  CLI::App* run = selftest->add_subcommand(
      "parity", "compares gates, layers, optimizers and small models with reference results");
  run->add_option("--golden", a->golden, "folder of reference files")->capture_default_str();
  run->add_option("--device", a->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  a->plugins.add_to(*run);
  run->callback([a, &code] { code = parity(*a); });
}

}  // namespace moiety::apps
