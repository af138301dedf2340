// moiety config check | print | schema | reference | explain | diff | import-ds | import-args
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "apps/config.h"
#include "core/base/strings.h"
#include "core/config/load.h"
#include "core/model/moe_parts.h"
#include "core/model/parameter_count.h"
#include "core/plugin/registry.h"
#include "core/train/check_start.h"

namespace moiety::apps {
namespace {

struct Arguments {
  std::string file;
  std::vector<std::string> overrides, plugin_path;
  int64_t world_size = 1;
  bool provenance = false;
};

PluginRegistry make_registry(const Arguments& a) {
  return PluginRegistry(
      PluginRegistry::default_folders({a.plugin_path.begin(), a.plugin_path.end()}));
}

RunConfig load(const Arguments& a, PluginRegistry& plugins) {
  return load_config(a.file, {a.overrides, a.world_size}, plugins);
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_moe(const MoeConfig& moe, const std::vector<LayerShape>& shapes) {
  if (!moe.enabled) return;
  std::printf("moe: %zu layers, gate %s, expert %s of width %lld; layer:experts", moe.layers.size(),
              moe.gate.type.c_str(), moe.expert.type.c_str(), static_cast<long long>(moe.hidden));
  for (size_t i = 0; i < shapes.size(); ++i) {
    std::printf(" %lld:%lld", static_cast<long long>(moe.layers[i]),
                static_cast<long long>(shapes[i].experts));
  }
  std::printf("\n");
}

void print_size(const ParameterCount& n) {
  std::printf("parameters: %s", short_count(static_cast<double>(n.total)).c_str());
  if (n.experts > 0) {
    std::printf(", of them %s in experts; a token passes %s",
                short_count(static_cast<double>(n.experts)).c_str(),
                short_count(static_cast<double>(n.active)).c_str());
  }
  std::printf("\n");
}

void check(const Arguments& a) {
  PluginRegistry plugins = make_registry(a);
  const RunConfig c = load(a, plugins);
  check_start(c, plugins);
  const std::vector<LayerShape> shapes = moe_layer_shapes(c, plugins);
  const ParameterCount size = count_parameters(c, plugins);
  std::printf("%s: good\n", a.file.c_str());
  std::printf(
      "batch: %lld = %lld sequences * %lld micro-batches * %lld ranks\n",
      static_cast<long long>(c.train_batch_size), static_cast<long long>(c.micro_batch_size),
      static_cast<long long>(c.gradient_accumulation_steps), static_cast<long long>(c.world_size));
  print_size(size);
  print_moe(c.moe, shapes);
  for (const std::string& text : c.accepted) std::printf("note: %s\n", text.c_str());
  for (const std::string& text : c.warnings) std::printf("warning: %s\n", text.c_str());
}

CLI::App* add_command(CLI::App& config, const char* name, const char* doc,
                      const std::shared_ptr<Arguments>& a) {
  CLI::App* command = config.add_subcommand(name, doc);
  command->add_option("--plugin-path", a->plugin_path, "folders with plugins, searched first");
  return command;
}

void add_file_arguments(CLI::App& command, const std::shared_ptr<Arguments>& a) {
  command.add_option("file", a->file, "YAML or JSON file")->required();
  command.add_option("overrides", a->overrides, "a.b=value or ~a.b");
  command.add_option("--world-size", a->world_size, "ranks of the run")->check(CLI::PositiveNumber);
}

}  // namespace

void add_config(CLI::App& app, int& code) {
  CLI::App* config = app.add_subcommand("config", "Checks and shows configurations");
  config->require_subcommand(1);
  const auto a = std::make_shared<Arguments>();

  CLI::App* checks = add_command(*config, "check", "reports every error of a file", a);
  add_file_arguments(*checks, a);
  checks->callback([a, &code] { check(*a), code = kOk; });

  CLI::App* prints = add_command(*config, "print", "the complete configuration", a);
  add_file_arguments(*prints, a);
  prints->add_flag("--provenance", a->provenance, "say where every value came from");
  prints->callback([a, &code] {
    PluginRegistry plugins = make_registry(*a);
    const RunConfig c = load(*a, plugins);
    print(a->provenance ? annotated_yaml(c) : c.resolved_yaml);
    code = kOk;
  });

  CLI::App* schema = add_command(*config, "schema", "JSON Schema, for editors", a);
  schema->callback([a, &code] {
    PluginRegistry plugins = make_registry(*a);
    print(json_schema(plugins));
    code = kOk;
  });

  CLI::App* reference = add_command(*config, "reference", "the text of docs/config.md", a);
  reference->callback([a, &code] {
    PluginRegistry plugins = make_registry(*a);
    print(config_reference(plugins));
    code = kOk;
  });

  add_config_import(*config, code);
  add_config_explain(*config, code);
}

}  // namespace moiety::apps
