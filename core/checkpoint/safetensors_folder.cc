// A model of one file or of many shards.
#include <set>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/strings.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/shapes.h"

namespace moiety {

namespace {

/// The shards that the index names. A name that leaves the folder is refused.
std::set<std::string> shards_of(const std::filesystem::path& index) {
  const Json json = Json::parse(read_file(index));
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : json.at("weight_map").object()) {
    const std::string& name = shard.string();
    MOIETY_CHECK(std::filesystem::path(name).filename() == name && name != ".." && !name.empty(),
                 "{}: tensor '{}' is in '{}', which is no plain file name", index.string(), tensor,
                 name);
    shards.insert(name);
  }
  return shards;
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) : folder_(folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::set<std::string> names;
  if (std::filesystem::exists(single)) {
    names = {"model.safetensors"};
  } else {
    MOIETY_CHECK(std::filesystem::exists(index),
                 "{}: neither model.safetensors nor model.safetensors.index.json is there",
                 folder.string());
    names = shards_of(index);
  }
  for (const std::string& name : names) files_.emplace_back(folder / name);
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, entry] : file.entries()) {
      MOIETY_CHECK(owner_.emplace(name, &file).second, "{}: tensor '{}' is in two shards",
                   folder.string(), name);
    }
  }
}

std::vector<std::string> SafetensorsFolder::names() const {
  std::vector<std::string> out;
  for (const auto& [name, file] : owner_) out.push_back(name);
  return out;
}

const SafetensorsFile& SafetensorsFolder::owner(const std::string& name,
                                                const std::vector<int64_t>& shape) const {
  const auto found = owner_.find(name);
  MOIETY_CHECK(found != owner_.end(), "{}: no tensor '{}'{}", folder_.string(), name,
               did_you_mean(name, names()));
  const SafetensorsFile& file = *found->second;
  const SafetensorsFile::Entry& entry = file.entries().at(name);
  MOIETY_CHECK(entry.shape == shape, "{}: tensor '{}' has shape {}, config.json says {}",
               file.path().string(), name, shape_text(entry.shape), shape_text(shape));
  return file;
}

DType SafetensorsFolder::dtype(const std::string& name, const std::vector<int64_t>& shape) const {
  return owner(name, shape).dtype(name);
}
std::vector<uint8_t> SafetensorsFolder::read_bytes(const std::string& name,
                                                   const std::vector<int64_t>& shape) const {
  return owner(name, shape).read_bytes(name);
}
std::vector<float> SafetensorsFolder::read(const std::string& name,
                                           const std::vector<int64_t>& shape) const {
  return owner(name, shape).read(name);
}

}  // namespace moiety
