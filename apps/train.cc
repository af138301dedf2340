// moiety train CONFIG [overrides...] [--resume] [--run-dir D]
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/config/load.h"
#include "core/train/check_start.h"
#include "core/train/trainer.h"

namespace moiety::apps {

namespace {

struct Arguments {
  std::filesystem::path config, run_dir;
  std::vector<std::string> overrides;
  bool resume = false;
  PluginPath plugins;
};

int train(const Arguments& a, const std::string& program) {
  PluginRegistry registry = a.plugins.registry();
  LoadOptions options;
  options.overrides = a.overrides;
  const RunConfig config = load_config(a.config, options, registry);
  if (!a.resume) check_start(config, registry);  // a resumed run has its weights and its teacher
  const std::filesystem::path folder = a.run_dir.empty() ? config.run.directory : a.run_dir;
  TrainOptions how;
  how.resume = a.resume;
  how.program = program;
  how.live = isatty(STDOUT_FILENO) == 1;
  RunDirectory directory = a.resume ? RunDirectory::open(folder) : RunDirectory::create(folder);
  Trainer trainer(config, registry, std::move(directory), how);
  switch (trainer.run()) {
    case Outcome::kDiverged: return kDiverged;
    case Outcome::kInterrupted: return kInterrupted;
    case Outcome::kFinished: break;
  }
  return kOk;
}

}  // namespace

void add_train(CLI::App& app, int& code, const std::string& program) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("train", "Trains the model of a configuration");
  command->add_option("config", a->config, "YAML or JSON file")->required();
  command->add_option("overrides", a->overrides, "a.b=value or ~a.b");
  command->add_flag("--resume", a->resume, "go on from the newest valid checkpoint of the run");
  command->add_option("--run-dir", a->run_dir, "folder of the run; default run.directory");
  a->plugins.add_to(*command);
  command->callback([a, &code, program] { code = train(*a, program); });
}

}  // namespace moiety::apps
