// moiety ckpt inspect|verify|import-hf|export-hf
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/base/files.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/hf_export.h"
#include "core/checkpoint/hf_import.h"
#include "core/config/load.h"

namespace moiety::apps {
namespace {

struct Arguments {
  std::string file, folder, out, config_out, config_from, dtype;
  std::vector<std::string> ignore;
  uint64_t shard_bytes = 5'000'000'000;
  PluginPath plugins;
};

int verify(const Arguments& a) {
  const std::vector<std::string> wrong = verify_checkpoint(a.file);
  for (const std::string& line : wrong) std::printf("%s\n", line.c_str());
  if (wrong.empty()) std::printf("%s: good\n", a.file.c_str());
  return wrong.empty() ? kOk : kFailedCheck;
}

void import(const Arguments& a) {
  const ConvertedModel model = convert_hf(a.folder, a.out, MOIETY_VERSION, a.ignore);
  std::printf("%s: %zu tensors read; use it as model.init_from\n", a.out.c_str(), model.tensors);
  if (a.config_out.empty()) {
    std::printf("the matching configuration:\n%s", model.yaml.c_str());
  } else {
    replace_file(a.config_out, model.yaml);
    std::printf("%s: the matching configuration; use it as base:\n", a.config_out.c_str());
  }
}

void export_model(const Arguments& a) {
  const std::filesystem::path file = find_checkpoint(a.file);
  PluginRegistry registry = a.plugins.registry();
  const RunConfig config =
      parse_config(read_checkpoint_info(file).resolved_yaml, file.string(), {}, registry);
  ExportOptions options;
  if (a.dtype == "f32") options.dtype = DType::kF32;
  if (a.dtype == "bf16") options.dtype = DType::kBF16;
  if (a.dtype == "f16") options.dtype = DType::kF16;
  options.shard_bytes = static_cast<int64_t>(a.shard_bytes);
  options.base_config = a.config_from;
  const ExportedModel model = export_hf(file, config, a.out, options);
  std::printf("%s: %zu tensors of a %s model in %zu file%s\n", a.out.c_str(), model.tensors,
              model.model_type.c_str(), model.shards, model.shards == 1 ? "" : "s");
}

}  // namespace

void add_ckpt(CLI::App& app, int& code) {
  CLI::App* ckpt = app.add_subcommand("ckpt", "Looks into, checks and converts checkpoints");
  ckpt->require_subcommand(1);
  const auto a = std::make_shared<Arguments>();

  CLI::App* inspects = ckpt->add_subcommand("inspect", "state, plugins and tensors of a file");
  inspects->add_option("file", a->file, "checkpoint")->required();
  inspects->callback([a, &code] {
    std::fputs(describe_checkpoint(a->file).c_str(), stdout);
    code = kOk;
  });

  CLI::App* verifies = ckpt->add_subcommand("verify", "reads everything, checks every checksum");
  verifies->add_option("file", a->file, "checkpoint")->required();
  verifies->callback([a, &code] { code = verify(*a); });

  CLI::App* imports = ckpt->add_subcommand(
      "import-hf", "a Hugging Face folder to a checkpoint of weights; " + hf_model_types());
  imports->add_option("folder", a->folder, "config.json and safetensors")->required();
  imports->add_option("--out", a->out, "checkpoint to write")->required();
  imports->add_option("--config-out", a->config_out, "YAML to write; else it is printed");
  imports->add_option("--ignore", a->ignore,
                      "tensors to leave out, by pattern (* and ?); others without a place in the "
                      "model are errors");
  imports->callback([a, &code] {
    import(*a);
    code = kOk;
  });

  CLI::App* exports =
      ckpt->add_subcommand("export-hf",
                           "a checkpoint to a Hugging Face folder; the family follows "
                           "from its configuration");
  exports->add_option("checkpoint", a->file, "checkpoint or run directory")->required();
  exports->add_option("--out", a->out, "folder to write, empty or new")->required();
  exports->add_option("--dtype", a->dtype, "of all parameters; else as the checkpoint has them")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  exports->add_option("--max-shard-size", a->shard_bytes, "bytes of a file, as 5GB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(CLI::PositiveNumber);
  exports->add_option("--config-from", a->config_from,
                      "a config.json whose other keys (token ids) are kept");
  a->plugins.add_to(*exports);
  exports->callback([a, &code] {
    export_model(*a);
    code = kOk;
  });
}

}  // namespace moiety::apps
