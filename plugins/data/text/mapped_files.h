// A list of files seen as one run of bytes, mapped into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace text {

/// Files as given, and every regular file below a folder in the order of its path.
std::vector<std::filesystem::path> list_files(const std::vector<std::string>& paths);

class MappedFiles {
 public:
  /// Throws moiety::Error naming the file that cannot be read.
  explicit MappedFiles(const std::vector<std::filesystem::path>& files);
  ~MappedFiles();
  MappedFiles(const MappedFiles&) = delete;
  MappedFiles& operator=(const MappedFiles&) = delete;

  int64_t size() const { return size_; }
  /// Calls fn(data, count) for the pieces of [begin, begin + count), in order.
  template <class F>
  void visit(int64_t begin, int64_t count, const F& fn) const {
    for (size_t i = file_at(begin); count > 0; ++i) {
      const int64_t offset = begin - maps_[i].begin;
      const int64_t here = count < maps_[i].size - offset ? count : maps_[i].size - offset;
      fn(maps_[i].data + offset, here);
      begin += here, count -= here;
    }
  }

 private:
  struct Map {
    const unsigned char* data;
    int64_t begin, size;
  };
  size_t file_at(int64_t byte) const;
  void unmap();
  std::vector<Map> maps_;
  int64_t size_ = 0;
};

}  // namespace text
