// moiety config explain | diff
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "apps/commands.h"
#include "apps/config.h"
#include "apps/plugin_path.h"
#include "core/config/explain.h"
#include "core/config/load.h"

namespace moiety::apps {
namespace {

struct Arguments {
  PluginPath path;
  std::string key, file, a, b;
  int64_t world_size = 1;
};

void explain(const Arguments& a) {
  PluginRegistry plugins = a.path.registry();
  std::string text;
  if (a.file.empty()) {
    text = explain_key(a.key, plugins);
  } else {
    const RunConfig run = load_config(a.file, {{}, a.world_size}, plugins);
    text = explain_key(a.key, plugins, &run);
  }
  std::fputs(text.c_str(), stdout);
}

void diff(const Arguments& a) {
  PluginRegistry plugins = a.path.registry();
  const RunConfig first = load_config(a.a, {{}, a.world_size}, plugins);
  const RunConfig second = load_config(a.b, {{}, a.world_size}, plugins);
  const std::string text = config_diff(first, second);
  std::fputs(text.empty() ? "no value differs\n" : text.c_str(), stdout);
}

}  // namespace

void add_config_explain(CLI::App& config, int& code) {
  const auto a = std::make_shared<Arguments>();

  CLI::App* explains = config.add_subcommand("explain", "meaning, values and default of one key");
  explains->add_option("key", a->key, "moe.k, moe.gate.params.k, optimizer, moe")->required();
  explains->add_option("--in", a->file, "a configuration: its value there, and where it came from");
  explains->add_option("--world-size", a->world_size, "ranks of the run")
      ->check(CLI::PositiveNumber);
  a->path.add_to(*explains);
  explains->callback([a, &code] { explain(*a), code = kOk; });

  CLI::App* diffs = config.add_subcommand("diff", "values that differ between two configurations");
  diffs->add_option("a", a->a, "YAML or JSON file")->required();
  diffs->add_option("b", a->b, "YAML or JSON file")->required();
  diffs->add_option("--world-size", a->world_size, "ranks of the run")->check(CLI::PositiveNumber);
  a->path.add_to(*diffs);
  diffs->callback([a, &code] { diff(*a), code = kOk; });
}

}  // namespace moiety::apps
