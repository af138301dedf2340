// Reads safetensors files (Hugging Face's format: 8 bytes of header length, a JSON header, then the
// tensors' bytes). The header is checked before anything is believed: files come from strangers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <moiety/tensor.h>

namespace moiety {

class MOIETY_API SafetensorsFile {
 public:
  struct Entry {
    std::string dtype;  // "F32", "BF16", "F16", ...
    std::vector<int64_t> shape;
    uint64_t begin = 0, end = 0;  // bytes, from the start of the data
  };

  /// Throws Error naming the file and the tensor when anything is out of bounds, overlapping,
  /// duplicate, or of a size that does not fit its shape.
  explicit SafetensorsFile(const std::filesystem::path& file);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, Entry>& entries() const { return entries_; }
  /// f32, f16 or bf16; other dtypes are an error.
  DType dtype(const std::string& name) const;
  /// The elements as they lie in the file.
  std::vector<uint8_t> read_bytes(const std::string& name) const;
  /// The elements as f32, which is exact for f16 and bf16.
  std::vector<float> read(const std::string& name) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  const Entry& entry(const std::string& name) const;
  void check_layout(uint64_t data_bytes) const;

  std::filesystem::path path_;
  uint64_t data_begin_ = 0;
  std::map<std::string, Entry> entries_;
};

/// All tensors of a folder: model.safetensors, or the shards of model.safetensors.index.json.
class MOIETY_API SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const std::filesystem::path& folder);
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return owner_.count(name) != 0; }
  // Each throws Error unless the tensor is there and has this shape.
  DType dtype(const std::string& name, const std::vector<int64_t>& shape) const;
  std::vector<uint8_t> read_bytes(const std::string& name, const std::vector<int64_t>& shape) const;
  std::vector<float> read(const std::string& name, const std::vector<int64_t>& shape) const;

 private:
  const SafetensorsFile& owner(const std::string& name, const std::vector<int64_t>& shape) const;

  std::filesystem::path folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const SafetensorsFile*> owner_;
};

}  // namespace moiety
