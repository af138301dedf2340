// Attributes: numbers, lists of numbers, texts.
#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/checkpoint/hdf5_types.h"

namespace moiety::h5 {

namespace {

Id own_attribute(hid_t id) {
  return {id, [](int64_t x) { return H5Aclose(x); }};
}

std::optional<std::string> read_text(const Id& attribute, const Id& type) {
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute.get(), type.get(), &text) < 0) return std::nullopt;
    std::string out = text == nullptr ? "" : text;
    H5free_memory(text);
    return out;
  }
  std::string text(H5Tget_size(type.get()), '\0');
  if (H5Aread(attribute.get(), type.get(), text.data()) < 0) return std::nullopt;
  text.resize(std::min(text.size(), std::strlen(text.c_str())));
  return text;
}

template <class T>
std::optional<Attribute> read_one(const Id& attribute, hid_t memory_type) {
  T value{};
  if (H5Aread(attribute.get(), memory_type, &value) < 0) return std::nullopt;
  return Attribute(value);
}

std::optional<Attribute> read_value(const Id& attribute) {
  const Id type = own_type(H5Aget_type(attribute.get()));
  const Id space = own_space(H5Aget_space(attribute.get()));
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_STRING && count == 1) return read_text(attribute, type);
  if (kind == H5T_ENUM && count == 1 && H5Tget_size(type.get()) == 1) {  // h5py's bool
    int8_t value = 0;
    if (H5Aread(attribute.get(), type.get(), &value) < 0) return std::nullopt;
    return Attribute(int64_t{value});
  }
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
  if (H5Sget_simple_extent_ndims(space.get()) > 0 && count >= 0) {
    std::vector<double> values(static_cast<size_t>(count));
    if (H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, values.data()) < 0) return std::nullopt;
    return values;
  }
  if (kind == H5T_FLOAT) return read_one<double>(attribute, H5T_NATIVE_DOUBLE);
  return H5Tget_sign(type.get()) == H5T_SGN_NONE ? read_one<uint64_t>(attribute, H5T_NATIVE_UINT64)
                                                 : read_one<int64_t>(attribute, H5T_NATIVE_INT64);
}

struct Written {
  Id type, space;
  const void* data;
};

Written prepare(const int64_t& x) {
  return {own_type(H5Tcopy(H5T_STD_I64LE)), own_space(H5Screate(H5S_SCALAR)), &x};
}
Written prepare(const uint64_t& x) {
  return {own_type(H5Tcopy(H5T_STD_U64LE)), own_space(H5Screate(H5S_SCALAR)), &x};
}
Written prepare(const double& x) {
  return {own_type(H5Tcopy(H5T_IEEE_F64LE)), own_space(H5Screate(H5S_SCALAR)), &x};
}
Written prepare(const std::string& x) {  // of fixed size, so that it lies in the object's header
  Id type = own_type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), x.size() + 1);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return {std::move(type), own_space(H5Screate(H5S_SCALAR)), x.c_str()};
}
Written prepare(const std::vector<double>& x) {
  const hsize_t size = x.size();
  return {own_type(H5Tcopy(H5T_IEEE_F64LE)), own_space(H5Screate_simple(1, &size, nullptr)),
          x.data()};
}

}  // namespace

std::vector<std::string> File::attributes(const std::string& object) const {
  const Id id = open_object(object);
  std::vector<std::string> names;
  const herr_t result = H5Aiterate2(
      id.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
      },
      &names);
  if (result < 0) fail(object, "attributes cannot be listed: " + last_error());
  std::sort(names.begin(), names.end());
  return names;
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  return H5Aexists(open_object(object).get(), name.c_str()) > 0;
}

Attribute File::attribute(const std::string& object, const std::string& name) const {
  if (!has_attribute(object, name)) fail(object, "no attribute '" + name + "'");
  const Id owner = open_object(object);
  const Id attribute = own_attribute(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT));
  std::optional<Attribute> value;
  if (attribute.get() >= 0) value = read_value(attribute);
  if (!value) fail(object, "attribute '" + name + "' cannot be read");
  return *value;
}

int64_t File::integer(const std::string& object, const std::string& name) const {
  const Attribute value = attribute(object, name);
  if (const auto* x = std::get_if<int64_t>(&value)) return *x;
  if (const auto* x = std::get_if<uint64_t>(&value)) return static_cast<int64_t>(*x);
  fail(object, "attribute '" + name + "' is not an integer");
}

double File::number(const std::string& object, const std::string& name) const {
  const Attribute value = attribute(object, name);
  if (const auto* x = std::get_if<double>(&value)) return *x;
  if (const auto* x = std::get_if<int64_t>(&value)) return static_cast<double>(*x);
  if (const auto* x = std::get_if<uint64_t>(&value)) return static_cast<double>(*x);
  fail(object, "attribute '" + name + "' is not a number");
}

std::string File::text(const std::string& object, const std::string& name) const {
  const Attribute value = attribute(object, name);
  if (const auto* x = std::get_if<std::string>(&value)) return *x;
  fail(object, "attribute '" + name + "' is not text");
}

void File::set(const std::string& object, const std::string& name, const Attribute& value) {
  const Written written = std::visit([](const auto& x) { return prepare(x); }, value);
  const Id owner = open_object(object);
  const Id attribute = own_attribute(H5Acreate2(owner.get(), name.c_str(), written.type.get(),
                                                written.space.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (attribute.get() < 0 || H5Awrite(attribute.get(), written.type.get(), written.data) < 0) {
    fail(object, "cannot write attribute '" + name + "': " + last_error());
  }
}

}  // namespace moiety::h5
