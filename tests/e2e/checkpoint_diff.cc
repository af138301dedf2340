// checkpoint_diff A B: exits 0 when two checkpoints hold the same bits in every tensor and the same
// run state (training time aside), else prints what differs and exits 1.
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "core/checkpoint/checkpoint.h"
#include "core/config/load.h"
#include "core/train/session.h"

namespace moiety {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes bytes_of(const TensorView& tensor) {
  const auto* begin = static_cast<const uint8_t*>(tensor.ptr);
  return Bytes(begin, begin + tensor.numel() * size_of(tensor.dtype));
}

/// Every tensor of the file by name, and the run state as text.
std::map<std::string, Bytes> contents(const std::string& file) {
  PluginRegistry registry(PluginRegistry::default_folders());
  LoadOptions options;
  options.overrides = {"run.device=cpu"};
  const RunConfig config =
      parse_config(read_checkpoint_info(file).resolved_yaml, file, options, registry);
  const Session session = make_session(config, registry);
  ParameterTable& table = session.model->parameters();
  table.slices(*session.optimizer);  // allocates the optimizer's state
  const RunState s = load_checkpoint(file, table).state;
  std::map<std::string, Bytes> all;
  for (const TableEntry& entry : table.entries()) {
    all[entry.name] = bytes_of(entry.parameter.value);
    if (entry.master) all[entry.name + " master"] = bytes_of(entry.master);
    for (size_t i = 0; i < entry.state.size(); ++i) {
      all[entry.name + " " + entry.state_specs[i].name] = bytes_of(entry.state[i]);
    }
  }
  const std::string state =
      fmt::format("{} {} {} {} {} {} {} {} {} {}", s.batch, s.update, s.tokens, s.sample, s.seed,
                  s.scaler.scale, s.scaler.iteration, s.scaler.last_overflow,
                  s.scaler.hysteresis_left, s.bad_steps);
  all["run state"] = Bytes(state.begin(), state.end());
  std::printf("%s: %zu tensors; state %s\n", file.c_str(), all.size() - 1, state.c_str());
  return all;
}

int compare(const std::string& a, const std::string& b) {
  const auto left = contents(a), right = contents(b);
  int differences = left.size() == right.size() ? 0 : 1;
  for (const auto& [name, bytes] : left) {
    const auto other = right.find(name);
    if (other != right.end() && other->second == bytes) continue;
    std::printf("differs: %s\n", name.c_str());
    ++differences;
  }
  std::printf("%d difference(s)\n", differences);
  return differences == 0 ? 0 : 1;
}

}  // namespace
}  // namespace moiety

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: checkpoint_diff A B\n");
    return 2;
  }
  try {
    return moiety::compare(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
