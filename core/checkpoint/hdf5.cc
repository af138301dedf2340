// Opening, closing and walking a file.
#include "core/checkpoint/hdf5.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"
#include "core/checkpoint/hdf5_types.h"

namespace moiety::h5 {

namespace {

Id own_file(hid_t id) {
  return {id, [](int64_t x) { return H5Fclose(x); }};
}

void add_datasets(const File& file, const std::string& group, std::vector<std::string>& out) {
  for (const std::string& name : file.children(group)) {
    std::string path = group;
    if (!path.empty()) path += '/';
    path += name;
    if (file.is_group(path)) {
      add_datasets(file, path, out);
    } else {
      out.push_back(std::move(path));
    }
  }
}

}  // namespace

int64_t DatasetInfo::numel() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

File::File(const std::filesystem::path& file, Mode mode) : path_(file) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors become exceptions, not prints
  const Id access = own_properties(H5Pcreate(H5P_FILE_ACCESS));
  if (mode == Mode::kCreate) {
    // The 1.8 format checksums its metadata and, unlike the latest one, opens after a crash.
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18);
    file_ = own_file(H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()));
  } else {
    MOIETY_CHECK(std::filesystem::exists(file), "{}: no such file", file.string());
    file_ = own_file(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access.get()));
  }
  MOIETY_CHECK(file_.get() >= 0, "{}: cannot {} this HDF5 file: {}", file.string(),
               mode == Mode::kCreate ? "create" : "open", last_error());
}

File::~File() = default;

void File::fail(const std::string& object, const std::string& what) const {
  throw Error(fmt::format("{}: /{}: {}", path_.string(), object, what));
}

Id File::open_object(const std::string& object) const {
  const std::string name = "/" + object;
  Id id(H5Oopen(file_.get(), name.c_str(), H5P_DEFAULT), [](int64_t x) { return H5Oclose(x); });
  if (id.get() < 0) fail(object, "cannot be opened: " + last_error());
  return id;
}

bool File::exists(const std::string& path) const {
  if (path.empty()) return true;
  for (size_t end = 0; end != std::string::npos;) {  // every group on the way must be there
    end = path.find('/', end + 1);
    if (H5Lexists(file_.get(), path.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return true;
}

bool File::is_group(const std::string& path) const {
  return H5Iget_type(open_object(path).get()) == H5I_GROUP;
}

std::vector<std::string> File::children(const std::string& group) const {
  const Id id = open_object(group);
  H5G_info_t info{};
  if (H5Gget_info(id.get(), &info) < 0) fail(group, "cannot be listed: " + last_error());
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const auto read = [&](char* to, size_t size) {
      return H5Lget_name_by_idx(id.get(), ".", H5_INDEX_NAME, H5_ITER_INC, i, to, size,
                                H5P_DEFAULT);
    };
    const ssize_t length = read(nullptr, 0);
    if (length < 0) fail(group, "cannot be listed: " + last_error());
    std::string name(static_cast<size_t>(length) + 1, '\0');
    if (read(name.data(), name.size()) < 0) fail(group, "cannot be listed: " + last_error());
    name.pop_back();
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> File::datasets(const std::string& group) const {
  std::vector<std::string> out;
  add_datasets(*this, group, out);
  return out;
}

void File::make_group(const std::string& group) {
  if (exists(group)) return;
  const Id links = own_properties(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(links.get(), 1);
  const Id id(H5Gcreate2(file_.get(), group.c_str(), links.get(), H5P_DEFAULT, H5P_DEFAULT),
              [](int64_t x) { return H5Gclose(x); });
  if (id.get() < 0) fail(group, "cannot make this group: " + last_error());
}

void File::sync() {
  if (H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) < 0) fail("", "cannot flush: " + last_error());
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  const bool ok = fd >= 0 && ::fsync(fd) == 0;
  const int cause = errno;
  if (fd >= 0) ::close(fd);
  if (!ok) fail("", fmt::format("cannot sync to disk: {}", std::strerror(cause)));
}

void File::close() {
  // An object still open would keep the file open behind our back.
  if (H5Fget_obj_count(file_.get(), H5F_OBJ_ALL) != 1) fail("", "objects are still open");
  if (!file_.close()) fail("", "cannot close: " + last_error());
}

}  // namespace moiety::h5
