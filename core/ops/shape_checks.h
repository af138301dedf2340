// What an op asks of its arguments' shapes, with a message that names the op and the argument.
#pragma once

#include <cstdint>
#include <initializer_list>

#include <moiety/tensor.h>

namespace moiety::ops {

/// Throws Error unless x has this shape.
void check_shape(const char* op, const char* name, ConstTensorView x,
                 std::initializer_list<int64_t> shape);
/// Throws Error unless x has `rank` axes.
void check_rank(const char* op, const char* name, ConstTensorView x, int rank);
/// Throws Error unless both have the same dtype.
void check_same_dtype(const char* op, const char* name, ConstTensorView x, DType expected);

}  // namespace moiety::ops
