// moiety ckpt inspect|verify|import-hf
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "core/base/files.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/hf_import.h"

namespace moiety::apps {
namespace {

struct Arguments {
  std::string file, folder, out, config_out;
};

int verify(const Arguments& a) {
  const std::vector<std::string> wrong = verify_checkpoint(a.file);
  for (const std::string& line : wrong) std::printf("%s\n", line.c_str());
  if (wrong.empty()) std::printf("%s: good\n", a.file.c_str());
  return wrong.empty() ? kOk : kFailedCheck;
}

void import(const Arguments& a) {
  const ImportedModel model = convert_hf(a.folder, a.out, MOIETY_VERSION);
  std::printf("%s: %zu tensors written; use it as model.init_from\n", a.out.c_str(),
              model.tensors.size());
  if (a.config_out.empty()) {
    std::printf("the matching configuration:\n%s", model.yaml.c_str());
  } else {
    replace_file(a.config_out, model.yaml);
    std::printf("%s: the matching configuration; use it as base:\n", a.config_out.c_str());
  }
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
      "import-hf", "a Hugging Face folder (gpt2, mixtral) to a checkpoint of weights");
  imports->add_option("folder", a->folder, "config.json and safetensors")->required();
  imports->add_option("--out", a->out, "checkpoint to write")->required();
  imports->add_option("--config-out", a->config_out, "YAML to write; else it is printed");
  imports->callback([a, &code] {
    import(*a);
    code = kOk;
  });
}

}  // namespace moiety::apps
