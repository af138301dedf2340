// An HDF5 file as the checkpoints and the reference files need it. The C library itself is seen by
// hdf5*.cc alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <moiety/tensor.h>

namespace moiety::h5 {

/// Owns one identifier of the library.
class Id {
 public:
  using Close = int (*)(int64_t);
  Id() = default;
  Id(int64_t id, Close closer) : id_(id), close_(closer) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  int64_t get() const { return id_; }
  /// Closes now and tells whether that worked.
  bool close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  int64_t id_ = -1;
  Close close_ = nullptr;
};

/// Numbers of other widths are widened; a list of numbers is read as f64.
using Attribute = std::variant<int64_t, uint64_t, double, std::string, std::vector<double>>;

struct DatasetInfo {
  std::optional<DType> dtype;  // empty: a type that no tensor has
  std::string type;            // "f32", or what the file has instead
  std::vector<int64_t> shape;
  int64_t numel() const;
};

/// One open file. Every error is an Error that names the file, the object and the library's reason.
/// Paths are from the root, without a leading '/'; "" is the root group.
class MOIETY_API File {
 public:
  enum class Mode : uint8_t { kRead, kCreate };
  File(const std::filesystem::path& file, Mode mode);
  File(File&&) noexcept = default;
  ~File();

  const std::filesystem::path& path() const { return path_; }
  bool exists(const std::string& path) const;
  bool is_group(const std::string& path) const;
  std::vector<std::string> children(const std::string& group) const;  ///< names, sorted
  /// Paths of all data sets below `group`, sorted.
  std::vector<std::string> datasets(const std::string& group) const;

  DatasetInfo info(const std::string& dataset) const;
  /// The elements as they lie in the file. Throws unless dtype and number of elements are these.
  void read(const std::string& dataset, DType dtype, void* out, int64_t elements) const;
  // The elements converted by the library: for reference files, not for 16-bit types.
  std::vector<float> floats(const std::string& dataset) const;
  std::vector<double> numbers(const std::string& dataset) const;
  std::vector<int64_t> integers(const std::string& dataset) const;

  void make_group(const std::string& group);
  /// Chunked, with a checksum of every chunk; makes the groups on the way.
  void write(const std::string& dataset, DType dtype, const std::vector<int64_t>& shape,
             const void* data);

  std::vector<std::string> attributes(const std::string& object) const;  ///< names, sorted
  bool has_attribute(const std::string& object, const std::string& name) const;
  Attribute attribute(const std::string& object, const std::string& name) const;
  int64_t integer(const std::string& object, const std::string& name) const;  ///< bool: 0, 1
  double number(const std::string& object, const std::string& name) const;
  std::string text(const std::string& object, const std::string& name) const;
  void set(const std::string& object, const std::string& name, const Attribute& value);

  /// Everything written so far is on the disk.
  void sync();
  /// Closes the file, which the destructor would do without reporting an error.
  void close();

 private:
  [[noreturn]] void fail(const std::string& object, const std::string& what) const;
  Id open_object(const std::string& object) const;
  Id open_dataset(const std::string& dataset) const;
  std::vector<int64_t> shape_of(const Id& dataset) const;
  template <class T>
  std::vector<T> convert(const std::string& dataset, int64_t memory_type) const;

  std::filesystem::path path_;
  Id file_;
};

}  // namespace moiety::h5
