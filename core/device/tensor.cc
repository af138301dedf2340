// TensorView: shape arithmetic and the checks behind data() and rows().
#include <moiety/tensor.h>

#include <algorithm>
#include <string>

#include "core/base/check.h"

namespace moiety {

namespace {

std::string shape_text(const TensorView& v) {
  std::string text = std::string(name_of(v.dtype)) + " [";
  for (int i = 0; i < v.rank; ++i) text += (i > 0 ? ", " : "") + std::to_string(v.dim(i));
  return text + "]";
}

}  // namespace

int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kI64: return 8;
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kBF16:
    case DType::kF16:
    case DType::kU16: return 2;
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kU8: return 1;
  }
  return 0;
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kBF16: return "bf16";
    case DType::kF16: return "f16";
    case DType::kF8E4M3: return "f8_e4m3";
    case DType::kF8E5M2: return "f8_e5m2";
    case DType::kI32: return "i32";
    case DType::kI64: return "i64";
    case DType::kU8: return "u8";
    case DType::kU16: return "u16";
  }
  return "unknown";
}

int64_t TensorView::numel() const {
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= dim(i);
  return n;
}

bool TensorView::contiguous() const {
  if (numel() == 0) return true;
  int64_t expected = 1;
  for (int i = rank - 1; i >= 0; expected *= dim(i--)) {
    if (dim(i) != 1 && stride[static_cast<size_t>(i)] != expected) return false;
  }
  return true;
}

TensorView TensorView::slice(int axis, int64_t begin, int64_t count) const {
  const int at = axis < 0 ? rank + axis : axis;
  MOIETY_CHECK(at >= 0 && at < rank && begin >= 0 && count >= 0 && begin + count <= dim(at),
               "slice: axis {}, elements {} to {} do not lie in {}", axis, begin, begin + count,
               shape_text(*this));
  TensorView v = *this;
  const auto a = static_cast<size_t>(at);
  if (ptr != nullptr) v.ptr = static_cast<char*>(ptr) + begin * stride[a] * size_of(dtype);
  v.shape[a] = count;
  return v;
}

TensorView TensorView::reshape(std::initializer_list<int64_t> to) const {
  MOIETY_CHECK(contiguous(), "reshape: {} is strided, expected a contiguous tensor",
               shape_text(*this));
  const TensorView v = view_of(ptr, dtype, to, device);
  MOIETY_CHECK(v.numel() == numel(), "reshape: {} has {} elements, {} has {}", shape_text(*this),
               numel(), shape_text(v), v.numel());
  return v;
}

void TensorView::check(DType wanted, bool dense) const {
  MOIETY_CHECK(dtype == wanted, "tensor {}: expected dtype {}", shape_text(*this), name_of(wanted));
  MOIETY_CHECK(!dense || contiguous(),
               "tensor {} is strided: data() wants it contiguous, use rows()", shape_text(*this));
  MOIETY_CHECK(dense || (rank == 2 && (stride[1] == 1 || shape[1] <= 1)),
               "tensor {}: rows() wants a matrix whose inner stride is 1", shape_text(*this));
}

TensorView view_of(void* ptr, DType dtype, std::initializer_list<int64_t> shape, Device device) {
  MOIETY_CHECK(shape.size() <= kMaxRank, "a tensor of rank {} was asked for; the largest is {}",
               shape.size(), kMaxRank);
  TensorView v;
  v.ptr = ptr;
  v.rank = static_cast<int32_t>(shape.size());
  v.dtype = dtype;
  v.device = device;
  std::copy(shape.begin(), shape.end(), v.shape.begin());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= v.shape[i]) v.stride[i] = stride;
  return v;
}

}  // namespace moiety
