// moiety plugins check.
#include <fmt/format.h>

#include <array>
#include <cstdio>

#include "apps/commands.h"
#include "apps/plugins.h"
#include "core/testing/conformance.h"

namespace moiety::apps {
namespace {

const char* word(testing::Outcome outcome) {
  switch (outcome) {
    case testing::Outcome::kPass: return "pass";
    case testing::Outcome::kFail: return "FAIL";
    case testing::Outcome::kSkip: return "skip";
  }
  return "?";
}

}  // namespace

int check_plugin_file(PluginRegistry& registry, const std::filesystem::path& file,
                      const std::string& device, bool perf,
                      const std::vector<std::string>& examples) {
  testing::CheckOptions options{perf, device};
  for (const std::string& example : examples) {
    const size_t cut = example.find('=');
    if (cut == std::string::npos) {
      throw ConfigError("--example '" + example + "': expected NAME=TEXT");
    }
    options.examples.emplace_back(example.substr(0, cut), Value(example.substr(cut + 1)));
  }
  std::array<int, 3> count{};  // by outcome
  for (const testing::Finding& f : testing::check_library(registry, file, options)) {
    const std::string line =
        fmt::format("{}  {}  {:<16} {}", word(f.outcome), f.component, f.check, f.detail);
    std::puts(line.substr(0, line.find_last_not_of(' ') + 1).c_str());
    ++count[static_cast<size_t>(f.outcome)];
  }
  const int failed = count[static_cast<size_t>(testing::Outcome::kFail)];
  const std::string sum =
      fmt::format("{}: {} passed, {} failed, {} skipped", file.filename().string(),
                  count[static_cast<size_t>(testing::Outcome::kPass)], failed,
                  count[static_cast<size_t>(testing::Outcome::kSkip)]);
  std::puts(sum.c_str());
  return failed == 0 ? kOk : kFailedCheck;
}

}  // namespace moiety::apps
