#include "core/checkpoint/hf_import.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/checkpoint/hf_mapping.h"
#include "core/checkpoint/writer.h"

namespace moiety {

namespace hf {

const Json* Settings::find(const char* key) const {
  const Json* value = json_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}
int64_t Settings::integer(const char* key) const {
  const Json* value = find(key);
  MOIETY_CHECK(value != nullptr, "config.json: {} is missing", key);
  return value->integer();
}
int64_t Settings::integer(const char* key, int64_t fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->integer();
}
double Settings::number(const char* key, double fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->number();
}
bool Settings::boolean(const char* key, bool fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->boolean();
}
std::string Settings::text(const char* key, const char* fallback) const {
  const Json* value = find(key);
  return value == nullptr ? fallback : value->string();
}
void Settings::require(bool holds, const char* key, const char* what) const {
  const Json* value = find(key);
  MOIETY_CHECK(holds, "config.json: {} is {}: {}", key, value ? value->dump() : "missing", what);
}

}  // namespace hf

namespace {

struct Family {
  const char* model_type;
  std::vector<NamedTensor> (*map)(const hf::Settings&, const HfReader&);
  std::string (*yaml)(const hf::Settings&);
};

constexpr Family kFamilies[] = {{"gpt2", hf::map_gpt2, hf::gpt2_yaml},
                                {"mixtral", hf::map_mixtral, hf::mixtral_yaml}};

const Family& family_of(const Json& config) {
  const std::string type = config.at("model_type").string();
  std::vector<std::string> known;
  for (const Family& family : kFamilies) {
    if (type == family.model_type) return family;
    known.emplace_back(family.model_type);
  }
  throw Error(fmt::format("config.json: model_type '{}' cannot be imported; known: {}", type,
                          join(known, ", ")));
}

Json config_of(const std::filesystem::path& folder) {
  return Json::parse(read_file(folder / "config.json"));
}

/// Buffers of older files that are no weights: causal masks.
bool is_mask(const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

void check_unused(const std::filesystem::path& folder, const SafetensorsFolder& files,
                  const std::set<std::string>& used) {
  std::vector<std::string> unused;
  for (const std::string& name : files.names()) {
    const bool tied = name == "lm_head.weight" && used.count("transformer.wte.weight") != 0;
    if (used.count(name) == 0 && !is_mask(name) && !tied) unused.push_back(name);
  }
  MOIETY_CHECK(
      unused.empty(), "{}: {} tensors have no place in the model: {}{}", folder.string(),
      unused.size(),
      join({unused.begin(), unused.begin() + std::min<std::ptrdiff_t>(8, std::ssize(unused))},
           ", "),
      unused.size() > 8 ? ", ..." : "");
}

}  // namespace

std::vector<NamedTensor> map_hf(const Json& config, const HfReader& read) {
  return family_of(config).map(hf::Settings(config), read);
}

std::string hf_config_yaml(const std::filesystem::path& folder) {
  const Json config = config_of(folder);
  return family_of(config).yaml(hf::Settings(config));
}

ImportedModel import_hf(const std::filesystem::path& folder) {
  const Json config = config_of(folder);
  const SafetensorsFolder files(folder);
  std::set<std::string> used;
  // GPT-2's own files leave out the prefix that later ones have.
  const bool bare = !files.contains("transformer.wte.weight") && files.contains("wte.weight");
  ImportedModel model;
  model.tensors = map_hf(config, [&](const HfTensor& wanted) {
    constexpr size_t kPrefix = sizeof("transformer.") - 1;
    const bool strip = bare && wanted.name.starts_with("transformer.");
    const std::string name = strip ? wanted.name.substr(kPrefix) : wanted.name;
    used.insert(name);
    return files.read(name, wanted.shape);
  });
  check_unused(folder, files, used);
  model.yaml = family_of(config).yaml(hf::Settings(config));
  return model;
}

ImportedModel convert_hf(const std::filesystem::path& folder, const std::filesystem::path& file,
                         const std::string& moiety_version) {
  ImportedModel model = import_hf(folder);
  CheckpointInfo info;
  info.moiety_version = moiety_version;
  info.resolved_yaml = model.yaml;
  CheckpointWriter writer(file, info);
  for (const NamedTensor& tensor : model.tensors) {
    SavedTensor saved;
    saved.path = "parameters/" + tensor.name;
    saved.shape = tensor.shape;
    saved.per_expert = tensor.expert;
    for (int64_t i = 0; i < saved.slices(); ++i) {
      writer.add(saved, i, tensor.values.data() + i * saved.slice_elements());
    }
  }
  writer.finish();
  return model;
}

}  // namespace moiety
