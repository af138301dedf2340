// Data sets: raw for tensors, converted for reference files.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/checkpoint/hdf5_types.h"

namespace moiety::h5 {

namespace {

constexpr int64_t kChunkBytes = 1 << 20;

std::string type_text(const Id& type) {
  switch (H5Tget_class(type.get())) {
    case H5T_FLOAT: return fmt::format("a float of {} bytes", H5Tget_size(type.get()));
    case H5T_INTEGER: return fmt::format("an integer of {} bytes", H5Tget_size(type.get()));
    case H5T_STRING: return "text";
    default: return "another HDF5 type";
  }
}

/// About one MiB, cut along the first axes.
std::vector<hsize_t> chunk_of(const std::vector<hsize_t>& shape, int64_t element) {
  std::vector<hsize_t> chunk = shape;
  auto left = static_cast<hsize_t>(kChunkBytes / element);
  for (size_t axis = chunk.size(); axis-- > 0;) {
    chunk[axis] = std::max<hsize_t>(1, std::min(chunk[axis], left));
    left = std::max<hsize_t>(1, left / chunk[axis]);
  }
  return chunk;
}

}  // namespace

Id File::open_dataset(const std::string& dataset) const {
  if (!exists(dataset)) fail(dataset, "no such data set");
  Id id(H5Dopen2(file_.get(), dataset.c_str(), H5P_DEFAULT), [](int64_t x) { return H5Dclose(x); });
  if (id.get() < 0) fail(dataset, "cannot be opened: " + last_error());
  return id;
}

std::vector<int64_t> File::shape_of(const Id& dataset) const {
  const Id space = own_space(H5Dget_space(dataset.get()));
  const int rank = H5Sget_simple_extent_ndims(space.get());
  std::vector<hsize_t> shape(static_cast<size_t>(std::max(rank, 0)));
  H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
  return {shape.begin(), shape.end()};
}

DatasetInfo File::info(const std::string& dataset) const {
  const Id id = open_dataset(dataset);
  const Id type = own_type(H5Dget_type(id.get()));
  DatasetInfo out;
  out.dtype = dtype_of(type);
  out.type = out.dtype ? name_of(*out.dtype) : type_text(type);
  out.shape = shape_of(id);
  return out;
}

void File::read(const std::string& dataset, DType dtype, void* out, int64_t elements) const {
  const DatasetInfo found = info(dataset);
  if (found.dtype != dtype || found.numel() != elements) {
    fail(dataset, fmt::format("holds {} elements of {}, expected {} of {}", found.numel(),
                              found.type, elements, name_of(dtype)));
  }
  if (elements == 0) return;
  const Id id = open_dataset(dataset);
  const Id type = type_of(dtype);
  if (H5Dread(id.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0) {
    fail(dataset, "cannot be read (torn or corrupt file): " + last_error());
  }
}

template <class T>
std::vector<T> File::convert(const std::string& dataset, int64_t memory_type) const {
  const Id id = open_dataset(dataset);
  const std::vector<int64_t> shape = shape_of(id);
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  std::vector<T> out(static_cast<size_t>(elements));
  if (elements > 0 &&
      H5Dread(id.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()) < 0) {
    fail(dataset, "cannot be read as numbers: " + last_error());
  }
  return out;
}

std::vector<float> File::floats(const std::string& dataset) const {
  return convert<float>(dataset, H5T_NATIVE_FLOAT);
}
std::vector<double> File::numbers(const std::string& dataset) const {
  return convert<double>(dataset, H5T_NATIVE_DOUBLE);
}
std::vector<int64_t> File::integers(const std::string& dataset) const {
  return convert<int64_t>(dataset, H5T_NATIVE_INT64);
}

void File::write(const std::string& dataset, DType dtype, const std::vector<int64_t>& shape,
                 const void* data) {
  const std::vector<hsize_t> dims(shape.begin(), shape.end());
  const bool empty = std::find(dims.begin(), dims.end(), hsize_t{0}) != dims.end();
  const Id space = own_space(
      dims.empty() ? H5Screate(H5S_SCALAR)
                   : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr));
  const Id links = own_properties(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(links.get(), 1);
  const Id creation = own_properties(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_obj_track_times(creation.get(), false);  // equal states give equal files
  if (!dims.empty() && !empty) {                  // only chunked data carries checksums
    const std::vector<hsize_t> chunk = chunk_of(dims, size_of(dtype));
    H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data());
    H5Pset_fletcher32(creation.get());
  }
  const Id type = type_of(dtype);
  const Id id(H5Dcreate2(file_.get(), dataset.c_str(), type.get(), space.get(), links.get(),
                         creation.get(), H5P_DEFAULT),
              [](int64_t x) { return H5Dclose(x); });
  if (id.get() < 0) fail(dataset, "cannot be created: " + last_error());
  if (!empty && H5Dwrite(id.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
    fail(dataset, "cannot be written: " + last_error());
  }
}

}  // namespace moiety::h5
