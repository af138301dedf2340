// Element types: bf16 and f16 are HDF5 floating-point types with their own fields.
#include "core/checkpoint/hdf5_types.h"

#include "core/base/check.h"

namespace moiety::h5 {

namespace {

/// A float of 16 bits: sign, exponent, mantissa from the top.
Id small_float(size_t exponent_bits, size_t bias) {
  const size_t mantissa_bits = 15 - exponent_bits;
  Id type = own_type(H5Tcopy(H5T_IEEE_F32LE));
  const hid_t id = type.get();
  const bool ok = H5Tset_fields(id, 15, mantissa_bits, exponent_bits, 0, mantissa_bits) >= 0 &&
                  H5Tset_precision(id, 16) >= 0 && H5Tset_size(id, 2) >= 0 &&
                  H5Tset_ebias(id, bias) >= 0;
  MOIETY_CHECK(ok, "HDF5: cannot make a 16-bit floating-point type: {}", last_error());
  return type;
}

}  // namespace

Id type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return own_type(H5Tcopy(H5T_IEEE_F32LE));
    case DType::kBF16: return small_float(8, 127);
    case DType::kF16: return small_float(5, 15);
    case DType::kI32: return own_type(H5Tcopy(H5T_STD_I32LE));
    case DType::kI64: return own_type(H5Tcopy(H5T_STD_I64LE));
    case DType::kU8: return own_type(H5Tcopy(H5T_STD_U8LE));
    default: break;
  }
  throw Error(fmt::format("HDF5: tensors of dtype {} are never saved", name_of(dtype)));
}

std::optional<DType> dtype_of(const Id& type) {
  for (const DType dtype :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kI32, DType::kI64, DType::kU8}) {
    if (H5Tequal(type.get(), type_of(dtype).get()) > 0) return dtype;
  }
  return std::nullopt;
}

std::string last_error() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &text);
  return text.empty() ? "unknown reason" : text;
}

}  // namespace moiety::h5
