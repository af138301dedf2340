// Writes a safetensors file tensor by tensor, in any order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <moiety/tensor.h>

namespace moiety {

/// A tensor that a file is to hold.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t bytes() const;
};

/// The header is laid out as the reference implementation does (f32 first, then names in order;
/// metadata {"format": "pt"}), so that equal tensors give equal files.
class MOIETY_API SafetensorsWriter {
 public:
  SafetensorsWriter(std::filesystem::path file, std::vector<SafetensorsEntry> entries);
  /// The data of one tensor, once. Throws Error on an unknown or repeated name.
  void write(const std::string& name, const void* data);
  /// Throws Error unless every tensor was written; synchronises the file.
  void finish();

 private:
  struct Place {
    uint64_t begin = 0, bytes = 0;
    bool written = false;
  };
  std::filesystem::path path_;
  std::ofstream out_;
  std::map<std::string, Place> places_;
};

/// "F32", "BF16" or "F16"; Throws Error for other dtypes.
MOIETY_API std::string safetensors_dtype(DType dtype);

}  // namespace moiety
