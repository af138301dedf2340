// moiety plugins list | show | check | new | reference | path
#include "apps/plugins.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include <moiety/error.h>

#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/base/strings.h"
#include "core/plugin/kinds.h"

namespace moiety::apps {
namespace {

struct Arguments {
  PluginPath path;
  std::string kind, name;
  std::filesystem::path file, directory;
  std::string device = "auto";
  bool markdown = false, perf = false, only_check = false;
  std::vector<std::string> examples;
};

}  // namespace

ComponentKind require_kind(const std::string& name) {
  if (const auto kind = kind_from_name(name)) return *kind;
  std::vector<std::string> kinds;
  kinds.reserve(kAllKinds.size());
  for (const ComponentKind kind : kAllKinds) kinds.emplace_back(kind_name(kind));
  throw ConfigError("no plugin kind '" + name + "'; there are: " + join(kinds, ", ") +
                    did_you_mean(name, kinds));
}

void add_plugins(CLI::App& app, int& code) {
  auto a = std::make_shared<Arguments>();  // the callbacks run after this function has returned
  CLI::App* plugins = app.add_subcommand("plugins", "find, describe, check and start plugins");
  plugins->require_subcommand(1);

  CLI::App* list = plugins->add_subcommand("list", "installed plugins, from their stamps");
  list->add_option("--kind", a->kind, "gating, expert, optimizer, data or objective");
  a->path.add_to(*list);
  list->callback([a, &code] { code = list_plugins(a->path.registry(), a->kind); });

  CLI::App* show = plugins->add_subcommand("show", "options, traits and file of one plugin");
  show->add_option("KIND", a->kind)->required();
  show->add_option("NAME", a->name)->required();
  show->add_flag("--markdown", a->markdown, "as a page of documentation");
  a->path.add_to(*show);
  show->callback([a, &code] {
    PluginRegistry registry = a->path.registry();
    code = show_plugin(registry, a->kind, a->name, a->markdown);
  });

  CLI::App* check = plugins->add_subcommand("check", "run the conformance kit on a plugin file");
  check->add_option("FILE", a->file)->required();
  check->add_option("--device", a->device, "auto: CPU, and CUDA where there is a GPU; cpu; cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  check->add_flag("--perf", a->perf, "also print times and bytes of scratch");
  check->add_option("--example", a->examples,
                    "NAME=TEXT: what the checks use for a required option, a file say; repeatable");
  a->path.add_to(*check);
  check->callback([a, &code] {
    PluginRegistry registry = a->path.registry();
    code = check_plugin_file(registry, a->file, a->device, a->perf, a->examples);
  });

  CLI::App* create = plugins->add_subcommand("new", "write a buildable project for a plugin");
  create->add_option("KIND", a->kind, "gating, expert, optimizer, data or objective")->required();
  create->add_option("NAME", a->name, "like_this")->required();
  create->add_option("--directory", a->directory, "default: ./NAME_KIND");
  create->callback([a, &code] { code = new_plugin(a->kind, a->name, a->directory); });

  CLI::App* reference =
      plugins->add_subcommand("reference", "write the options of all plugins into their pages");
  reference->add_option("FOLDER", a->directory, "docs/plugins")->required();
  reference->add_flag("--check", a->only_check, "write nothing, exit with 1 where it would");
  a->path.add_to(*reference);
  reference->callback([a, &code] {
    PluginRegistry registry = a->path.registry();
    code = plugin_pages(registry, a->directory, a->only_check);
  });

  CLI::App* path = plugins->add_subcommand("path", "folders that are searched, in order");
  a->path.add_to(*path);
  path->callback([a, &code] {
    for (const auto& folder : PluginRegistry::default_folders(a->path.folders)) {
      std::printf("%s\n", folder.c_str());
    }
    code = kOk;
  });
}

}  // namespace moiety::apps
