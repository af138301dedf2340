// What the commands of `moiety bench` have in common.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/bench/report.h"

namespace CLI {
class App;
}

namespace moiety::apps {

struct BenchArguments {
  std::string device = "auto";
  std::filesystem::path json;
  int iterations = 25;
  bool no_ceilings = false;
};

/// Adds the command and its common options, which write to `a`.
CLI::App* add_bench_command(CLI::App& bench, const char* name, const char* text,
                            const std::shared_ptr<BenchArguments>& a);
/// Throws ConfigError where --device cannot be used.
DeviceContext open_bench_device(const std::string& device);
/// A report with the device's ceilings, unless --no-ceilings, and no rows.
bench::Report begin_report(const BenchArguments& a, DeviceContext& context);
/// Says which rows are wrong, prints the table of the others and writes --json. An exit code.
int finish_report(const BenchArguments& a, bench::Report report);

void add_bench_of_configs(CLI::App& bench, int& code);  ///< layer, step
void add_bench_of_ops(CLI::App& bench, int& code);      ///< gemm, attention, loss

}  // namespace moiety::apps
