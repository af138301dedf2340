// File types of tensor elements. Memory and file use the same type, so that the library never
// converts: its conversion to bf16 is slow and rounds halves away from zero.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <optional>

#include "core/checkpoint/hdf5.h"

namespace moiety::h5 {

static_assert(sizeof(hid_t) == sizeof(int64_t));

inline Id own_type(hid_t id) {
  return {id, [](int64_t x) { return H5Tclose(x); }};
}
inline Id own_space(hid_t id) {
  return {id, [](int64_t x) { return H5Sclose(x); }};
}
inline Id own_properties(hid_t id) {
  return {id, [](int64_t x) { return H5Pclose(x); }};
}

/// A new type identifier; throws Error for types that are never saved.
Id type_of(DType dtype);
/// The dtype whose type equals `type`.
std::optional<DType> dtype_of(const Id& type);
/// The innermost message of the library's error stack.
std::string last_error();

}  // namespace moiety::h5
