// From a run-time dtype to a template argument.
#pragma once

#include <string>

#include <moiety/tensor.h>

namespace moiety::ops {

/// Calls f(T{}) with float, BFloat16 or Float16. Throws Error naming `op` for other dtypes.
template <class F>
decltype(auto) with_float(DType dtype, const char* op, const F& f) {
  switch (dtype) {
    case DType::kF32: return f(float{});
    case DType::kBF16: return f(BFloat16{});
    case DType::kF16: return f(Float16{});
    default: throw Error(std::string(op) + ": dtype " + name_of(dtype) + " is not supported");
  }
}

}  // namespace moiety::ops
