#include "mapped_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <moiety/error.h>

namespace text {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& file, int error) {
  throw moiety::ConfigError(file.string() + ": " + std::strerror(error) +
                            "; expected a readable file or folder in data.params.files "
                            "(`moiety data prepare --out FILE` makes one)");
}

}  // namespace

std::vector<fs::path> list_files(const std::vector<std::string>& paths) {
  std::vector<fs::path> files;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    const auto first = static_cast<std::ptrdiff_t>(files.size());
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin() + first, files.end());
  }
  return files;
}

MappedFiles::MappedFiles(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) {
    const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about = {};
    void* data = MAP_FAILED;
    if (descriptor >= 0 && fstat(descriptor, &about) == 0) {
      if (S_ISREG(about.st_mode) && about.st_size == 0) {
        close(descriptor);
        continue;
      }
      data =
          mmap(nullptr, static_cast<size_t>(about.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    const int error = errno;
    if (descriptor >= 0) close(descriptor);
    if (data == MAP_FAILED) {
      unmap();
      fail(file, error);
    }
    maps_.push_back({static_cast<const unsigned char*>(data), size_, about.st_size});
    size_ += about.st_size;
  }
}

MappedFiles::~MappedFiles() { unmap(); }

void MappedFiles::unmap() {
  for (const Map& m : maps_) {
    munmap(const_cast<unsigned char*>(m.data), static_cast<size_t>(m.size));
  }
}

size_t MappedFiles::file_at(int64_t byte) const {
  const auto after = std::upper_bound(maps_.begin(), maps_.end(), byte,
                                      [](int64_t b, const Map& m) { return b < m.begin; });
  return static_cast<size_t>(after - maps_.begin()) - 1;
}

}  // namespace text
