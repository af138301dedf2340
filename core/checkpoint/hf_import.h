// From a Hugging Face model folder to the tensors and the configuration of `model.type: gpt`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"

namespace moiety {

/// A tensor under its Moiety name, f32. Expert tensors are whole: [E, ...].
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  bool expert = false, buffer = false;
  std::vector<float> values;
};

struct ImportedModel {
  std::vector<NamedTensor> tensors;
  std::string yaml;  // configuration that matches; ends with a newline
};

/// Reads config.json and the safetensors of `folder`, whole, into memory. Throws Error naming what
/// is missing, of another shape, unknown (a tensor that the mapping does not use) or a setting that
/// Moiety's model does not have.
MOIETY_API ImportedModel import_hf(const std::filesystem::path& folder);

/// The configuration alone, for `moiety selftest parity`.
MOIETY_API std::string hf_config_yaml(const std::filesystem::path& folder);

/// The model types that can be imported, with ", " between.
MOIETY_API std::string hf_model_types();

struct ConvertedModel {
  size_t tensors = 0;  // of the folder
  std::string yaml;
};

/// import_hf, written as a checkpoint of weights in the dtypes of the folder. Holds one tensor (of
/// one expert) in memory. `ignore` are patterns of tensors that are left out (* and ?).
MOIETY_API ConvertedModel convert_hf(const std::filesystem::path& folder,
                                     const std::filesystem::path& file,
                                     const std::string& moiety_version,
                                     const std::vector<std::string>& ignore = {});

/// A tensor that a mapping asks for, in the layout of the reference's file.
struct HfTensor {
  std::string name;
  std::vector<int64_t> shape;
};

/// Reads one of them: from the model's file, or from gradients that lie in the same layout.
using HfReader = std::function<std::vector<float>(const HfTensor&)>;
/// All tensors; without `buffers` those that have gradients.
MOIETY_API std::vector<NamedTensor> map_hf(const Json& config, const HfReader& read,
                                           bool buffers = true);

}  // namespace moiety
