// moiety routing diff A B
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "apps/commands.h"
#include "core/train/routing_log.h"

namespace moiety::apps {

void add_routing(CLI::App& app, int& code) {
  struct Files {
    std::filesystem::path a, b;
  };
  CLI::App* routing = app.add_subcommand("routing", "Compares recordings of a run's routing");
  routing->require_subcommand(1);
  const auto files = std::make_shared<Files>();
  CLI::App* diff = routing->add_subcommand(
      "diff", "what differs between two recordings (moe.router.record); exit code 1 if anything");
  diff->add_option("A", files->a, "recording")->required()->check(CLI::ExistingFile);
  diff->add_option("B", files->b, "recording")->required()->check(CLI::ExistingFile);
  diff->callback([files, &code] {
    const RoutingDifference difference = compare_routing(files->a, files->b);
    std::fputs(difference.table.c_str(), stdout);
    std::puts(difference.same ? "the same, bit for bit" : "they differ");
    code = difference.same ? kOk : kFailedCheck;
  });
}

}  // namespace moiety::apps
