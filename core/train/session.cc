#include "core/train/session.h"

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "core/checkpoint/checkpoint.h"
#include "core/plugin/stamp.h"
#include "core/train/memory_report.h"
#include "core/train/param_groups.h"

namespace moiety {

namespace {

Device choose_device(const std::string& wanted) {
  const Device cuda{DeviceType::kCuda, 0};
  if (wanted == "cpu") return {};
  const std::string why = cuda_unavailable();
  if (why.empty()) return cuda;
  if (wanted == "cuda") {
    throw ConfigError(fmt::format(
        "run.device is cuda, but no CUDA device can be used: {}; set run.device=cpu", why));
  }
  return {};
}

}  // namespace

void require_device_code(const DeviceContext& context, const PluginRegistry& plugins) {
  if (context.device().type != DeviceType::kCuda) return;
  for (const ComponentInfo& info : plugins.loaded()) {
    if (info.kind != ComponentKind::kData) check_device(info, context.compute_capability());
  }
}

ModelDims model_dims(const RunConfig& config) {
  ModelDims dims;
  dims.model = config.model.hidden;
  dims.hidden = config.model.ffn_hidden;
  dims.layers = config.model.layers;
  dims.vocab = config.model.vocab_size;
  dims.sequence = config.model.sequence_length;
  return dims;
}

namespace {

/// A data source opens files, so `config check` does not make one and its complaints come here.
std::shared_ptr<DataSource> open_data(const RunConfig& config, PluginRegistry& plugins,
                                      const ModelDims& dims) {
  try {
    return plugins.create<DataSource>(config.data.type, config.data.options, dims);
  } catch (const ConfigError& e) {
    const std::string text = e.what();
    std::string path = "data.type";
    for (const auto& [option, value] : config.data.options) {  // the option that it speaks of
      if (text.find("data.params." + option) != text.npos) path = "data.params." + option;
    }
    throw ConfigError(place_of(config, path) + ": " + text);
  }
}

}  // namespace

BatchShape train_shape(const RunConfig& config) {
  return {config.gradient_accumulation_steps, config.micro_batch_size,
          config.model.sequence_length};
}

Session make_model_session(const RunConfig& config, PluginRegistry& plugins, bool trained) {
  Session session;
  session.context = std::make_unique<DeviceContext>(choose_device(config.run.device),
                                                    static_cast<int>(config.run.threads));
  if (trained) require_memory(config, plugins, *session.context);
  session.model = make_model(config, plugins, *session.context);
  require_device_code(*session.context, plugins);
  return session;
}

Session make_session(const RunConfig& config, PluginRegistry& plugins) {
  const ModelDims dims = model_dims(config);
  // The data first: a missing file is found before memory is taken.
  auto data = open_data(config, plugins, dims);
  check_fields(config, *data);
  Session session = make_model_session(config, plugins, /*trained=*/true);
  session.data = std::move(data);
  session.objective =
      plugins.create<Objective>(config.objective.type, config.objective.options, dims);
  session.optimizer =
      plugins.create<Optimizer>(config.optimizer.type, config.optimizer.options, dims);
  require_device_code(*session.context, plugins);
  apply_param_groups(config.param_groups, session.model->parameters());
  return session;
}

void load_first_weights(const RunConfig& config, ParameterTable& table) {
  constexpr std::string_view kSection = "model.init_from.";
  const InitFrom& from = config.model.init_from;
  if (from.checkpoint.empty()) return;
  check_first_weights(config);
  try {
    initialize_from(from, config.run.seed, table);
  } catch (const Error& e) {
    // What speaks of another key of the section stands at that key.
    std::string key = std::string(kSection) + "checkpoint", text = e.what();
    const size_t colon = text.find(": ");
    if (text.starts_with(kSection) && colon != std::string::npos) {
      key = text.substr(0, colon);
      text = text.substr(colon + 2);
    }
    throw Error(fmt::format("{}: {}", place_of(config, key), text));
  }
}

void check_first_weights(const RunConfig& config) {
  const std::filesystem::path& source = config.model.init_from.checkpoint;
  if (source.empty() || std::filesystem::exists(source)) return;
  throw ConfigError(fmt::format("{}: {}", place_of(config, "model.init_from.checkpoint"),
                                no_checkpoint_text(source)));
}

}  // namespace moiety
