// The subcommands of `moiety`. Each file parses arguments and calls the core, nothing more.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace moiety::apps {

/// What the process exits with; launchers rely on them (docs/exit_codes.md).
enum ExitCode : int {
  kOk = 0,
  kFailedCheck = 1,  // selftest, plugins check, ckpt verify, routing diff
  kConfigError = 2,
  kPluginError = 3,
  kRuntimeError = 4,
  kDiverged = 5,
  kInterrupted = 6,  // saved; `moiety train --resume` goes on
};

// Each adds its subcommand to `app`; the callback stores the exit code in `code`.
void add_train(CLI::App& app, int& code, const std::string& program);  ///< as it was started
void add_config(CLI::App& app, int& code);
void add_plugins(CLI::App& app, int& code);
void add_ckpt(CLI::App& app, int& code);
void add_selftest(CLI::App& app, int& code);
void add_generate(CLI::App& app, int& code);
void add_data(CLI::App& app, int& code);
void add_routing(CLI::App& app, int& code);
void add_bench(CLI::App& app, int& code);

}  // namespace moiety::apps
