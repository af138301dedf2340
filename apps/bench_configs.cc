// moiety bench layer|step: what a configuration describes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <vector>

#include <moiety/error.h>

#include "apps/bench_command.h"
#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/bench/layer_bench.h"
#include "core/bench/step_bench.h"
#include "core/config/load.h"

namespace moiety::apps {

namespace {

namespace fs = std::filesystem;

struct Arguments : BenchArguments {
  std::vector<std::string> names, overrides;
  std::string routing = "real";
  int profile = 0;
  fs::path trace;
  bool all = false;
  PluginPath plugins;
};

/// The configurations of configs/bench/KIND, beside the binary's sources or in the working folder.
std::vector<fs::path> known_configs(const std::string& kind) {
  for (const fs::path& root : {fs::path("."), fs::path(MOIETY_SOURCE_DIR)}) {
    std::vector<fs::path> found;
    const fs::path folder = root / "configs/bench" / kind;
    if (!fs::is_directory(folder)) continue;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".yaml") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  return {};
}

/// Files by path, or by name of a known configuration.
std::vector<fs::path> configs_of(const Arguments& a, const std::string& kind) {
  std::vector<fs::path> known = known_configs(kind);
  if (a.all) return known;
  std::vector<std::string> names;
  names.reserve(known.size());
  for (const fs::path& file : known) names.push_back(file.stem());
  std::vector<fs::path> out;
  for (const std::string& name : a.names) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at != names.end()) {
      out.push_back(known[static_cast<size_t>(at - names.begin())]);
    } else if (fs::is_regular_file(name)) {
      out.emplace_back(name);
    } else {
      throw ConfigError(fmt::format("bench {}: '{}' is neither a file nor one of: {}{}", kind, name,
                                    join(names, ", "), did_you_mean(name, names)));
    }
  }
  if (out.empty()) {
    throw ConfigError(fmt::format("bench {}: expected --all, a configuration, or one of: {}", kind,
                                  join(names, ", ")));
  }
  return out;
}

LoadOptions load_options(const Arguments& a) {
  LoadOptions options;
  options.overrides = a.overrides;
  options.overrides.push_back("run.device=" + a.device);
  if (a.routing != "real") options.overrides.push_back("moe.router.force_routing=" + a.routing);
  return options;
}

int layers(const Arguments& a) {
  const std::vector<fs::path> files = configs_of(a, "layer");
  PluginRegistry plugins = a.plugins.registry();
  DeviceContext context = open_bench_device(a.device);
  bench::Report report = begin_report(a, context);
  for (const fs::path& file : files) {
    const RunConfig config = load_config(file, load_options(a), plugins);
    report.rows.push_back(bench::bench_layer(config, file.stem(), plugins, context, a.iterations));
  }
  return finish_report(a, std::move(report));
}

int steps(const Arguments& a) {
  const std::vector<fs::path> files = configs_of(a, "step");
  bench::Report report;
  {
    DeviceContext context = open_bench_device(a.device);
    report = begin_report(a, context);
  }
  std::string tables;
  for (const fs::path& file : files) {
    PluginRegistry plugins = a.plugins.registry();
    const RunConfig config = load_config(file, load_options(a), plugins);
    const bench::StepBench step =
        bench::bench_step(config, file.stem(), plugins, {a.iterations, a.profile});
    report.rows.push_back(step.row);
    tables += fmt::format("\n{}: {}", file.stem().string(), step.memory);
    if (!step.phases.empty()) tables += fmt::format("\n{}\n{}", file.stem().string(), step.phases);
    if (!a.trace.empty()) replace_file(a.trace, step.trace);
  }
  const int code = finish_report(a, std::move(report));
  std::fputs(tables.c_str(), stdout);
  return code;
}

void add_configs(CLI::App& command, const std::shared_ptr<Arguments>& a) {
  command.add_option("configs", a->names, "names of configs/bench, or files");
  command.add_flag("--all", a->all, "every configuration of configs/bench");
  command.add_option("--set", a->overrides, "a.b=value: an override, for all configurations");
  command.add_option("--routing", a->routing, "real, balanced or zipf (skewed)")
      ->check(CLI::IsMember({"real", "balanced", "zipf"}));
  a->plugins.add_to(command);
}

}  // namespace

void add_bench_of_configs(CLI::App& bench, int& code) {
  const auto of_layer = std::make_shared<Arguments>();
  CLI::App* layer =
      add_bench_command(bench, "layer",
                        "one MoE layer, forward and backward; compared with f32 first (exit code 1 "
                        "where it is wrong)",
                        of_layer);
  add_configs(*layer, of_layer);
  layer->callback([of_layer, &code] { code = layers(*of_layer); });

  const auto of_step = std::make_shared<Arguments>();
  CLI::App* step = add_bench_command(bench, "step", "whole training steps", of_step);
  add_configs(*step, of_step);
  step->add_option("--profile", of_step->profile, "then so many steps by phase")
      ->check(CLI::Range(0, 1000));
  step->add_option("--trace", of_step->trace,
                   "file for a Chrome trace of those steps; of the last configuration")
      ->needs("--profile");
  step->callback([of_step, &code] { code = steps(*of_step); });
}

}  // namespace moiety::apps
