// From a checkpoint to a Hugging Face model folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <moiety/tensor.h>

#include "core/config/run_config.h"

namespace moiety {

struct ExportOptions {
  std::optional<DType> dtype;           // of all parameters; empty: as the checkpoint has them
  int64_t shard_bytes = 5'000'000'000;  // more than one file above it
  std::filesystem::path base_config;    // a config.json whose other keys are kept, or empty
};

struct ExportedModel {
  std::string model_type;
  size_t tensors = 0, shards = 0;
};

/// Writes config.json and model.safetensors, or shards with model.safetensors.index.json, to
/// `folder`. `config` is the checkpoint's own configuration. The config.json of an imported
/// checkpoint is written as it was read. Holds one tensor (of one expert) in memory. Throws Error
/// where the model has no counterpart, where a tensor of the checkpoint has no place in it, or
/// where the folder has weights already; config.json comes last, so an unfinished folder has none.
MOIETY_API ExportedModel export_hf(const std::filesystem::path& checkpoint, const RunConfig& config,
                                   const std::filesystem::path& folder,
                                   const ExportOptions& options = {});

}  // namespace moiety
