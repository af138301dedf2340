// moiety config import-ds | import-args
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include <moiety/error.h>

#include "apps/commands.h"
#include "apps/config.h"
#include "apps/plugin_path.h"
#include "core/base/files.h"
#include "core/config/import/import.h"

namespace moiety::apps {
namespace {

struct Arguments {
  PluginPath path;
  std::string file, line;
  int64_t world_size = 0;
  bool strict = false;
};

std::string text_of(const std::string& file) {
  try {
    return read_file(file);
  } catch (const Error& e) {
    throw ConfigError(e.what());
  }
}

/// The YAML goes to stdout, so that `> my.yaml` takes it; what was refused is said on stderr too.
int print(const ImportResult& result, bool strict) {
  std::fwrite(result.yaml.data(), 1, result.yaml.size(), stdout);
  for (const std::string& text : result.refused) {
    std::fprintf(stderr, "refused: %s\n", text.c_str());
  }
  return strict && !result.refused.empty() ? kConfigError : kOk;
}

void add_common(CLI::App& command, const std::shared_ptr<Arguments>& a) {
  command.add_option("--world-size", a->world_size, "ranks of the run to be")
      ->check(CLI::PositiveNumber);
  command.add_flag("--strict", a->strict, "exit with 2 when a key or flag was refused");
  a->path.add_to(command);
}

ImportOptions options_of(const Arguments& a) {
  return {a.world_size, std::filesystem::path(a.file).parent_path()};
}

}  // namespace

void add_config_import(CLI::App& config, int& code) {
  const auto a = std::make_shared<Arguments>();

  CLI::App* ds = config.add_subcommand("import-ds", "a ds_config of DeepSpeed as our YAML");
  ds->add_option("file", a->file, "JSON; comments are allowed")->required();
  add_common(*ds, a);
  ds->callback([a, &code] {
    PluginRegistry plugins = a->path.registry();
    code = print(import_deepspeed(text_of(a->file), a->file, options_of(*a), plugins), a->strict);
  });

  CLI::App* args =
      config.add_subcommand("import-args", "a launch line of Megatron-DeepSpeed as our YAML");
  args->add_option("line", a->line, "\"deepspeed pretrain_gpt.py --num-layers 24 ...\"");
  args->add_option("--file", a->file, "a shell script with the launch line in it");
  add_common(*args, a);
  args->callback([a, &code] {
    if (a->line.empty() == a->file.empty()) {
      throw ConfigError("config import-args: expected a launch line in quotes, or --file SCRIPT");
    }
    PluginRegistry plugins = a->path.registry();
    const std::string text = a->file.empty() ? a->line : text_of(a->file);
    const std::string name = a->file.empty() ? "launch line" : a->file;
    code = print(import_arguments(text, name, options_of(*a), plugins), a->strict);
  });
}

}  // namespace moiety::apps
