// Everything a run is made of, built from its configuration: device, model, data, objective,
// optimizer.
#pragma once

#include <memory>

#include "core/plugin/registry.h"
#include "core/train/batch_layout.h"

namespace moiety {

struct Session {
  std::unique_ptr<DeviceContext> context;
  std::unique_ptr<Model> model;
  std::shared_ptr<Objective> objective;
  std::shared_ptr<Optimizer> optimizer;
  std::shared_ptr<DataSource> data;
};

/// Throws ConfigError for `run.device: cuda` where there is none, and OutOfMemory where the device
/// has no room for the parameters. The weights are the initial ones of run.seed.
MOIETY_API Session make_session(const RunConfig& config, PluginRegistry& plugins);
/// The weights of model.init_from, where it is given, into `table`. Throws Error with the place of
/// the key in the configuration; ConfigError where its source does not exist.
MOIETY_API void load_first_weights(const RunConfig& config, ParameterTable& table);
/// The last of these alone: that the source exists.
MOIETY_API void check_first_weights(const RunConfig& config);
/// Device and model alone. `trained`: an optimizer is to follow, whose state needs room too.
MOIETY_API Session make_model_session(const RunConfig& config, PluginRegistry& plugins,
                                      bool trained = false);
/// The sizes that components which belong to no layer are made with.
MOIETY_API ModelDims model_dims(const RunConfig& config);
/// Throws PluginError when a component that runs on the device was not built for it.
MOIETY_API void require_device_code(const DeviceContext& context, const PluginRegistry& plugins);
/// M, B, S of the configuration's train batch.
MOIETY_API BatchShape train_shape(const RunConfig& config);

}  // namespace moiety
