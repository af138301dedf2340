// What `moiety ckpt verify` and `moiety ckpt inspect` say.
#include <map>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/crc32.h"
#include "core/checkpoint/layout.h"

namespace moiety {

std::vector<std::string> verify_checkpoint(const std::filesystem::path& file) {
  std::vector<std::string> wrong;
  try {
    const h5::File in(file, h5::File::Mode::kRead);
    try {
      check_manifest(in);
      read_info(in);
    } catch (const Error& e) {
      wrong.emplace_back(e.what());
    }
    std::vector<uint8_t> data;
    for (const std::string& name : in.datasets("")) {
      try {
        const h5::DatasetInfo info = in.info(name);
        MOIETY_CHECK(info.dtype.has_value(), "{}: /{}: {} is no type of a checkpoint",
                     file.string(), name, info.type);
        data.resize(static_cast<size_t>(info.numel() * size_of(*info.dtype)));
        in.read(name, *info.dtype, data.data(), info.numel());
        const auto expected = static_cast<uint32_t>(in.integer(name, "crc32"));
        MOIETY_CHECK(crc32(data.data(), data.size()) == expected,
                     "{}: /{}: the data differs from what was written (CRC-32)", file.string(),
                     name);
      } catch (const Error& e) {
        wrong.emplace_back(e.what());
      }
    }
  } catch (const Error& e) {
    wrong.emplace_back(e.what());
  }
  return wrong;
}

namespace {

struct Total {
  int64_t datasets = 0, elements = 0;
  std::string type;
  std::vector<int64_t> shape;
};

/// "parameters/a.experts.w_in/expert_00003" -> "parameters/a.experts.w_in".
std::string tensor_name(const std::string& dataset) {
  const size_t cut = dataset.rfind("/expert_");
  return cut == std::string::npos ? dataset : dataset.substr(0, cut);
}

}  // namespace

std::string describe_checkpoint(const std::filesystem::path& file) {
  const h5::File in(file, h5::File::Mode::kRead);
  check_manifest(in);
  const CheckpointInfo info = read_info(in);
  const RunState& state = info.state;
  std::string out = fmt::format(
      "{}\n  format {}, written by moiety {}, {}\n"
      "  batch {}, update {}, tokens {}, sample {}, seed {}, {:.1f} s of training\n"
      "  loss scale {:g} ({})\n",
      file.string(), info.format, info.moiety_version,
      short_bytes(static_cast<double>(std::filesystem::file_size(file))), state.batch, state.update,
      state.tokens, state.sample, state.seed, state.seconds, state.scaler.scale,
      state.scaler.dynamic ? "dynamic" : "fixed");
  for (const PluginIdentity& plugin : info.plugins) {
    out += fmt::format("  plugin {} {} {} sha256 {}\n", plugin.kind, plugin.name, plugin.version,
                       plugin.sha256.substr(0, 16));
  }
  std::map<std::string, Total> tensors;
  for (const char* group : {"parameters", "buffers", "optimizer"}) {
    if (!in.exists(group)) continue;
    for (const std::string& name : in.datasets(group)) {
      Total& total = tensors[tensor_name(name)];
      const h5::DatasetInfo one = in.info(name);
      ++total.datasets;
      total.elements += one.numel();
      total.type = one.type;
      total.shape = one.shape;
    }
  }
  double parameters = 0;
  for (const auto& [name, total] : tensors) {
    if (name.starts_with("parameters/")) parameters += static_cast<double>(total.elements);
    const bool experts = in.is_group(name);
    out += fmt::format("  {:60} {:5} {}{}\n", name, total.type,
                       experts ? fmt::format("{} experts of ", total.datasets) : "",
                       shape_text(total.shape));
  }
  out += fmt::format("  {} parameters in {} tensors\n", short_count(parameters), tensors.size());
  return out;
}

}  // namespace moiety
