// What a run starts from, for a reimplementation to start from the same: the initial weights in f32
// under their global names, and "batch.tokens", "batch.targets" [N, rows, S] of its first N train
// batches, as f32. One safetensors file.
//   moiety_initial_state CONFIG OUT.safetensors N [a.b=value ...]
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "core/checkpoint/safetensors_writer.h"
#include "core/config/load.h"
#include "core/train/batch_loader.h"
#include "core/train/session.h"

namespace moiety {
namespace {

struct Batches {
  std::vector<float> tokens, targets;
};

/// Integers below 2^24, so f32 holds them exactly.
void append(std::vector<float>& to, const ConstTensorView& from) {
  const auto* values = from.data<int32_t>();
  for (int64_t i = 0; i < from.numel(); ++i) to.push_back(static_cast<float>(values[i]));
}

Batches first_batches(const Session& session, const BatchLayout& layout, const RunConfig& config,
                      int64_t count) {
  BatchLoader::Options options;
  options.seed = config.run.seed;
  BatchLoader loader(*session.data, layout, options);
  const DeviceContext host{Device{}};
  Buffer memory(host.device(), layout.bytes());
  Batches out;
  for (int64_t i = 0; i < count; ++i) {
    loader.next(host, memory.data());
    for (int64_t m = 0; m < layout.shape().micro_batches; ++m) {
      const MicroBatch batch = layout.view(memory.data(), m, host.device());
      append(out.tokens, batch.tokens);
      append(out.targets, batch.targets);
    }
  }
  return out;
}

void write_state(const RunConfig& config, PluginRegistry& plugins,
                 const std::filesystem::path& file, int64_t count) {
  const Session session = make_session(config, plugins);
  const BatchLayout layout(train_shape(config), *session.data, config.model.vocab_size);
  const std::vector<int64_t> shape{count, layout.shape().samples(), layout.shape().length};
  ParameterTable& table = session.model->parameters();
  std::vector<SafetensorsEntry> entries{{"batch.tokens", DType::kF32, shape},
                                        {"batch.targets", DType::kF32, shape}};
  for (const TableEntry& entry : table.entries()) {
    if (!entry.buffer) entries.push_back({entry.name, DType::kF32, entry.shape});
  }
  SafetensorsWriter writer(file, entries);
  const Batches batches = first_batches(session, layout, config, count);
  writer.write("batch.tokens", batches.tokens.data());
  writer.write("batch.targets", batches.targets.data());
  for (const TableEntry& entry : table.entries()) {
    if (!entry.buffer) writer.write(entry.name, table.read(entry.authoritative()).data());
  }
  writer.finish();
}

}  // namespace
}  // namespace moiety

int main(int argc, char** argv) {
  using namespace moiety;
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s CONFIG OUT.safetensors BATCHES [a.b=value ...]\n", argv[0]);
    return 2;
  }
  try {
    PluginRegistry plugins(PluginRegistry::default_folders());
    LoadOptions options;
    options.overrides.assign(argv + 4, argv + argc);
    write_state(load_config(argv[1], options, plugins), plugins, argv[2], std::atoll(argv[3]));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 4;
  }
  return 0;
}
