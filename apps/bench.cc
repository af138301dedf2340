// moiety bench layer|step|gemm|attention|loss
#include "apps/bench_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <utility>

#include <moiety/error.h>

#include "apps/commands.h"
#include "core/base/files.h"
#include "core/bench/compare.h"

namespace moiety::apps {

DeviceContext open_bench_device(const std::string& device) {
  const std::string why = cuda_unavailable();
  if (device == "cuda" && !why.empty()) {
    throw ConfigError("bench: no CUDA device can be used: " + why + "; use --device cpu");
  }
  if (device == "cpu" || !why.empty()) return DeviceContext(Device{});
  return DeviceContext(Device{DeviceType::kCuda, 0});
}

bench::Report begin_report(const BenchArguments& a, DeviceContext& context) {
  const bench::Ceilings ceilings =
      a.no_ceilings ? bench::Ceilings{} : bench::measure_ceilings(context);
  return {context.description(), ceilings, {}};
}

int finish_report(const BenchArguments& a, bench::Report report) {
  const auto wrong = std::stable_partition(report.rows.begin(), report.rows.end(),
                                           [](const bench::Row& row) { return row.right; });
  for (auto row = wrong; row != report.rows.end(); ++row) {
    std::fprintf(stderr, "bench %s %s: wrong, so it was not timed: %s; at most %.0e expected\n",
                 row->what.c_str(), row->shape.c_str(), row->detail.c_str(), row->tolerance);
  }
  const int code = wrong == report.rows.end() ? kOk : kFailedCheck;
  report.rows.erase(wrong, report.rows.end());
  std::fputs(bench::table(report).c_str(), stdout);
  if (!a.json.empty()) replace_file(a.json, bench::to_json(report).dump(2) + "\n");
  return code;
}

CLI::App* add_bench_command(CLI::App& bench, const char* name, const char* text,
                            const std::shared_ptr<BenchArguments>& a) {
  CLI::App* command = bench.add_subcommand(name, text);
  command->add_option("--device", a->device, "cpu, cuda, or auto: cuda where there is one")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command->add_option("--iterations", a->iterations, "timed calls")->check(CLI::Range(1, 100000));
  command->add_flag("--no-ceilings", a->no_ceilings,
                    "leave out the dense product that others are compared with (4 seconds)");
  command->add_option("--json", a->json, "file for the same numbers as JSON");
  return command;
}

void add_bench(CLI::App& app, int& code) {
  CLI::App* bench = app.add_subcommand(
      "bench", "Times a layer, a step, products, attention or the loss, by shape");
  bench->require_subcommand(1);
  add_bench_of_configs(*bench, code);
  add_bench_of_ops(*bench, code);
}

}  // namespace moiety::apps
