// From a Hugging Face model folder to the tensors and the configuration of `model.type: gpt`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"

namespace moiety {

/// A tensor under its Moiety name, f32. Expert tensors are whole: [E, ...].
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  bool expert = false;
  std::vector<float> values;
};

struct ImportedModel {
  std::vector<NamedTensor> tensors;
  std::string yaml;  // configuration that matches; ends with a newline
};

/// Reads config.json and the safetensors of `folder`. Knows model_type gpt2 and mixtral. Throws
/// Error naming what is missing, of another shape, unknown (a tensor that the mapping does not use)
/// or a setting that Moiety's model does not have.
MOIETY_API ImportedModel import_hf(const std::filesystem::path& folder);

/// The configuration alone, for `moiety selftest parity`.
MOIETY_API std::string hf_config_yaml(const std::filesystem::path& folder);

/// import_hf, written as a checkpoint of weights.
MOIETY_API ImportedModel convert_hf(const std::filesystem::path& folder,
                                    const std::filesystem::path& file,
                                    const std::string& moiety_version);

/// A tensor that a mapping asks for, in the layout of the reference's file.
struct HfTensor {
  std::string name;
  std::vector<int64_t> shape;
};

/// Reads one of them: from the model's file, or from gradients that lie in the same layout.
using HfReader = std::function<std::vector<float>(const HfTensor&)>;
MOIETY_API std::vector<NamedTensor> map_hf(const Json& config, const HfReader& read);

}  // namespace moiety
