// Views of memory that the core owns. Strides are in elements.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include <moiety/error.h>
#include <moiety/float16.h>

namespace moiety {

enum class DType : uint8_t { kF32, kBF16, kF16, kF8E4M3, kF8E5M2, kI32, kI64, kU8, kU16 };
enum class DeviceType : uint8_t { kCpu, kCuda };

MOIETY_API int64_t size_of(DType dtype);      ///< bytes of an element
MOIETY_API const char* name_of(DType dtype);  ///< "f32", "bf16", ...

struct Device {
  DeviceType type = DeviceType::kCpu;
  int8_t index = 0;
  bool operator==(const Device&) const = default;
};

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> : std::integral_constant<DType, DType::kF32> {};
template <>
struct DTypeOf<BFloat16> : std::integral_constant<DType, DType::kBF16> {};
template <>
struct DTypeOf<Float16> : std::integral_constant<DType, DType::kF16> {};
template <>
struct DTypeOf<int32_t> : std::integral_constant<DType, DType::kI32> {};
template <>
struct DTypeOf<int64_t> : std::integral_constant<DType, DType::kI64> {};
template <>
struct DTypeOf<uint8_t> : std::integral_constant<DType, DType::kU8> {};
template <>
struct DTypeOf<uint16_t> : std::integral_constant<DType, DType::kU16> {};

inline constexpr int kMaxRank = 4;

/// The rows of a matrix whose inner stride is 1: what a functor carries into a kernel.
template <class T>
struct Rows {
  T* ptr = nullptr;
  int64_t pitch = 0;
  MOIETY_HD T* operator[](int64_t row) const { return ptr + row * pitch; }
};

struct TensorView {
  void* ptr = nullptr;
  std::array<int64_t, kMaxRank> shape{}, stride{};
  int32_t rank = 0;
  DType dtype = DType::kF32;
  Device device = {};

  explicit operator bool() const { return ptr != nullptr; }
  int64_t dim(int axis) const { return shape[static_cast<size_t>(axis < 0 ? rank + axis : axis)]; }
  MOIETY_API int64_t numel() const;
  MOIETY_API bool contiguous() const;
  /// Elements [begin, begin + count) along `axis`.
  MOIETY_API TensorView slice(int axis, int64_t begin, int64_t count) const;
  /// The same elements under another shape. Throws unless contiguous and equally many.
  MOIETY_API TensorView reshape(std::initializer_list<int64_t> shape) const;

  /// All elements in a row. Throws unless the view is contiguous and holds T.
  template <class T>
  T* data() const {
    check(DTypeOf<T>::value, /*dense=*/true);
    return static_cast<T*>(ptr);
  }
  /// Throws unless the view is a matrix of T with inner stride 1.
  template <class T>
  Rows<T> rows() const {
    check(DTypeOf<T>::value, /*dense=*/false);
    return {static_cast<T*>(ptr), stride[0]};
  }
  MOIETY_API void check(DType wanted, bool dense) const;
};

struct ConstTensorView : private TensorView {
  ConstTensorView() = default;
  ConstTensorView(const TensorView& v) : TensorView(v) {}  // NOLINT: mutable reads as const
  using TensorView::contiguous, TensorView::dim, TensorView::numel, TensorView::operator bool;
  using TensorView::device, TensorView::dtype, TensorView::rank, TensorView::shape;
  using TensorView::stride;
  const void* raw() const { return ptr; }
  ConstTensorView slice(int axis, int64_t begin, int64_t count) const {
    return TensorView::slice(axis, begin, count);
  }
  ConstTensorView reshape(std::initializer_list<int64_t> to) const {
    return TensorView::reshape(to);
  }
  template <class T>
  const T* data() const {
    return TensorView::data<T>();
  }
  template <class T>
  Rows<const T> rows() const {
    auto r = TensorView::rows<T>();
    return {r.ptr, r.pitch};
  }
};

/// A dense row-major view of `ptr`.
MOIETY_API TensorView view_of(void* ptr, DType dtype, std::initializer_list<int64_t> shape,
                              Device device = {});

static_assert(std::is_trivially_copyable_v<TensorView>, "kernels take views by value");

}  // namespace moiety
