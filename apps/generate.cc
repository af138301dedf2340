// moiety generate CHECKPOINT_OR_RUN [--prompt TEXT] [--tokens N] [--temperature T]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "apps/commands.h"
#include "apps/plugin_path.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/load.h"
#include "core/train/generator.h"
#include "core/train/session.h"
#include "core/train/step_runner.h"

namespace moiety::apps {

namespace {

struct Arguments {
  std::filesystem::path source;
  std::string prompt = "\n", device;
  int64_t tokens = 200;
  double temperature = 0.8;
  uint64_t seed = 1;
  PluginPath plugins;
};

void generate(const Arguments& a) {
  const std::filesystem::path file = find_checkpoint(a.source);
  PluginRegistry registry = a.plugins.registry();
  LoadOptions options;
  if (!a.device.empty()) options.overrides.push_back("run.device=" + a.device);
  const RunConfig config =
      parse_config(read_checkpoint_info(file).resolved_yaml, file.string(), options, registry);
  if (config.model.vocab_size > 256) {
    throw Error("generate: the model's vocabulary is not bytes (model.vocab_size above 256)");
  }
  const Session session = make_model_session(config, registry);
  load_weights(file, session.model->parameters());

  // What a forward needs besides the model: noise state and scratch memory.
  const ops::StepControl control = initial_control(config);
  const RowMap rows;
  Buffer state(session.context->device(), sizeof control), map(state.device(), sizeof rows);
  session.context->copy(state.data(), &control, sizeof control);
  session.context->copy(map.data(), &rows, sizeof rows);
  session.context->synchronize();
  Arena scratch(*session.context);
  Exec::Impl impl;
  impl.context = session.context.get();
  impl.scratch = &scratch;
  impl.step = &static_cast<const ops::StepControl*>(state.data())->step;
  impl.rows = static_cast<const RowMap*>(map.data());
  impl.compute_dtype = compute_dtype(config.precision);
  impl.fp8_parts = fp8_parts(config);
  impl.seed = config.run.seed;
  Exec exec(&impl);

  Generator generator(*session.model, exec, config.model.sequence_length, config.model.vocab_size);
  const std::vector<int32_t> tokens =
      generator.generate(bytes_to_tokens(a.prompt), a.tokens, a.temperature, a.seed);
  std::printf("%s\n", printable(a.prompt + tokens_to_bytes(tokens)).c_str());
}

}  // namespace

void add_generate(CLI::App& app, int& code) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Continues a text with a trained model");
  command->add_option("source", a->source, "checkpoint file or run directory")->required();
  command->add_option("--prompt", a->prompt, "text to continue");
  command->add_option("--tokens", a->tokens, "how many")->check(CLI::Range(1, 1000000));
  command->add_option("--temperature", a->temperature, "0 = always the likeliest token")
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--seed", a->seed, "another seed, another text");
  command->add_option("--device", a->device, "auto | cpu | cuda; default as in training");
  a->plugins.add_to(*command);
  command->callback([a, &code] { generate(*a), code = kOk; });
}

}  // namespace moiety::apps
