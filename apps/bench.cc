// moiety bench layer|step|gemm
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <moiety/error.h>

#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/bench/gemm_bench.h"
#include "core/bench/layer_bench.h"
#include "core/bench/step_bench.h"
#include "core/config/load.h"

namespace moiety::apps {

namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::vector<std::string> names, overrides;
  std::string device = "auto", routing = "real";
  fs::path json;
  int iterations = 25, profile = 0;
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
  const std::vector<fs::path> known = known_configs(kind);
  if (a.all) return known;
  std::vector<std::string> names;
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

DeviceContext open(const std::string& device) {
  const std::string why = cuda_unavailable();
  if (device == "cuda" && !why.empty()) {
    throw ConfigError("bench: no CUDA device can be used: " + why + "; use --device cpu");
  }
  if (device == "cpu" || !why.empty()) return DeviceContext(Device{});
  return DeviceContext(Device{DeviceType::kCuda, 0});
}

/// Prints the table and writes --json.
void finish(const Arguments& a, const bench::Report& report) {
  std::fputs(bench::table(report).c_str(), stdout);
  if (!a.json.empty()) replace_file(a.json, bench::to_json(report).dump(2) + "\n");
}

bench::Report begin(DeviceContext& context) {
  return {context.description(), bench::measure_ceilings(context), {}};
}

int layers(const Arguments& a) {
  const std::vector<fs::path> files = configs_of(a, "layer");
  PluginRegistry plugins = a.plugins.registry();
  DeviceContext context = open(a.device);
  bench::Report report = begin(context);
  bool right = true;
  for (const fs::path& file : files) {
    const RunConfig config = load_config(file, load_options(a), plugins);
    const bench::LayerBench layer =
        bench::bench_layer(config, file.stem(), plugins, context, a.iterations);
    if (!layer.right) {
      std::fprintf(stderr,
                   "bench layer %s: wrong, so it was not timed: %s; at most %.0e expected\n",
                   file.stem().c_str(), layer.row.detail.c_str(), bench::kLayerTolerance);
      right = false;
      continue;
    }
    report.rows.push_back(layer.row);
  }
  finish(a, report);
  return right ? kOk : kFailedCheck;
}

int steps(const Arguments& a) {
  const std::vector<fs::path> files = configs_of(a, "step");
  bench::Report report;
  {
    DeviceContext context = open(a.device);
    report = begin(context);
  }
  std::string phases;
  for (const fs::path& file : files) {
    PluginRegistry plugins = a.plugins.registry();
    const RunConfig config = load_config(file, load_options(a), plugins);
    const bench::StepBench step =
        bench::bench_step(config, file.stem(), plugins, {a.iterations, a.profile});
    report.rows.push_back(step.row);
    if (!step.phases.empty()) phases += fmt::format("\n{}\n{}", file.stem().string(), step.phases);
  }
  finish(a, report);
  std::fputs(phases.c_str(), stdout);
  return kOk;
}

int products(const Arguments& a) {
  DeviceContext context = open(a.device);
  bench::Report report = begin(context);
  report.rows = bench::bench_gemm(context, a.iterations);
  finish(a, report);
  return kOk;
}

CLI::App* add(CLI::App& bench, const char* name, const char* text,
              const std::shared_ptr<Arguments>& a) {
  CLI::App* command = bench.add_subcommand(name, text);
  command->add_option("--device", a->device, "cpu, cuda, or auto: cuda where there is one")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command->add_option("--iterations", a->iterations, "timed calls")->check(CLI::Range(1, 100000));
  command->add_option("--json", a->json, "file for the same numbers as JSON");
  return command;
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

void add_bench(CLI::App& app, int& code) {
  CLI::App* bench = app.add_subcommand("bench", "Times a layer, a step or products, by shape");
  bench->require_subcommand(1);

  const auto of_layer = std::make_shared<Arguments>();
  CLI::App* layer = add(*bench, "layer",
                        "one MoE layer, forward and backward; compared with f32 first (exit code 1 "
                        "where it is wrong)",
                        of_layer);
  add_configs(*layer, of_layer);
  layer->callback([of_layer, &code] { code = layers(*of_layer); });

  const auto of_step = std::make_shared<Arguments>();
  CLI::App* step = add(*bench, "step", "whole training steps", of_step);
  add_configs(*step, of_step);
  step->add_option("--profile", of_step->profile, "then so many steps by phase")
      ->check(CLI::Range(0, 1000));
  step->callback([of_step, &code] { code = steps(*of_step); });

  const auto of_gemm = std::make_shared<Arguments>();
  CLI::App* gemm = add(*bench, "gemm", "dense and grouped products", of_gemm);
  gemm->callback([of_gemm, &code] { code = products(*of_gemm); });
}

}  // namespace moiety::apps
