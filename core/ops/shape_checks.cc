#include "core/ops/shape_checks.h"

#include <algorithm>
#include <string>

#include "core/base/check.h"

namespace moiety::ops {

namespace {

std::string text(const int64_t* shape, size_t rank) {
  std::string s = "[";
  for (size_t i = 0; i < rank; ++i) s += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return s + "]";
}

}  // namespace

void check_shape(const char* op, const char* name, ConstTensorView x,
                 std::initializer_list<int64_t> shape) {
  MOIETY_CHECK(static_cast<size_t>(x.rank) == shape.size() &&
                   std::equal(shape.begin(), shape.end(), x.shape.begin()),
               "{}: {} has shape {}, expected {}", op, name,
               text(x.shape.data(), static_cast<size_t>(x.rank)),
               text(shape.begin(), shape.size()));
}

void check_rank(const char* op, const char* name, ConstTensorView x, int rank) {
  MOIETY_CHECK(x.rank == rank, "{}: {} has shape {}, expected {} axes", op, name,
               text(x.shape.data(), static_cast<size_t>(x.rank)), rank);
}

void check_same_dtype(const char* op, const char* name, ConstTensorView x, DType expected) {
  MOIETY_CHECK(x.dtype == expected, "{}: {} holds {}, expected {}", op, name, name_of(x.dtype),
               name_of(expected));
}

}  // namespace moiety::ops
