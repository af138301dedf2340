#include "core/base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "core/base/check.h"

namespace moiety {

namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  MOIETY_CHECK(in.good(), "{}: cannot be read: {}", file.string(), std::strerror(errno));
  return {std::istreambuf_iterator<char>(in), {}};
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path here = folder.empty() ? "." : folder;
  const Descriptor directory(::open(here.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  MOIETY_CHECK(directory.get() >= 0 && ::fsync(directory.get()) == 0,
               "{}: the folder cannot be synchronised: {}", here.string(), std::strerror(errno));
}

void replace_file(const std::filesystem::path& file, std::string_view text) {
  const std::filesystem::path temporary = file.string() + ".tmp";
  {
    const Descriptor out(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    MOIETY_CHECK(out.get() >= 0, "{}: cannot be written: {}", temporary.string(),
                 std::strerror(errno));
    for (size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(out.get(), text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      MOIETY_CHECK(n >= 0, "{}: writing failed: {}", temporary.string(), std::strerror(errno));
      done += static_cast<size_t>(n);
    }
    MOIETY_CHECK(::fsync(out.get()) == 0, "{}: fsync failed: {}", temporary.string(),
                 std::strerror(errno));
  }
  std::filesystem::rename(temporary, file);
  sync_folder(file.parent_path());
}

std::filesystem::path executable_path() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace moiety
