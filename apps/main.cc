// The binary `moiety`: subcommands and exit codes.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include <moiety/error.h>

#include "apps/commands.h"

int main(int argc, char** argv) {
  using namespace moiety;
  CLI::App app("Trains Mixture-of-Experts language models from a YAML file.", "moiety");
  app.require_subcommand(1);
  app.set_version_flag("--version", MOIETY_VERSION);
  int code = apps::kOk;
  apps::add_config(app, code);
  apps::add_plugins(app, code);
  apps::add_ckpt(app, code);
  apps::add_selftest(app, code);
  apps::add_train(app, code, argv[0]);
  apps::add_generate(app, code);
  apps::add_data(app, code);
  apps::add_routing(app, code);
  apps::add_bench(app, code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? apps::kOk : apps::kConfigError;
  } catch (const ConfigError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return apps::kConfigError;
  } catch (const PluginError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return apps::kPluginError;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return apps::kRuntimeError;
  }
  return code;
}
