// Fill, copy with conversion, add, accumulate: contiguous tensors of any shape.
#include <string>

#include <moiety/ops.h>
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/packs.cuh"
#include "core/ops/routing.h"

namespace moiety::ops {

namespace {

/// Elements of one worker: enough to vectorize on the CPU, neighbours on CUDA.
struct Span {
  int64_t n, size;
  Span(const Exec& exec, int64_t elements) : n(elements), size(exec.is_cuda() ? 4 : 4096) {}
  int64_t pieces() const { return (n + size - 1) / size; }
  MOIETY_HD int64_t begin(int64_t i) const { return i * size; }
  MOIETY_HD int64_t end(int64_t i) const { return (i + 1) * size < n ? (i + 1) * size : n; }
};

template <class T>
struct Fill {
  T* x;
  T value;
  Span span;
  MOIETY_HD void operator()(int64_t i) const {
    for (int64_t j = span.begin(i); j < span.end(i); ++j) x[j] = value;
  }
};

template <class From, class To, bool kAdd>
struct Move {
  const From* from;
  To* to;
  Span span;
  MOIETY_HD void operator()(int64_t i) const {
    for (int64_t j = span.begin(i); j < span.end(i); ++j) {
      const float base = kAdd ? static_cast<float>(to[j]) : 0.f;
      to[j] = static_cast<To>(base + static_cast<float>(from[j]));
    }
  }
};

template <class T>
struct Add {
  const T *a, *b;
  T* out;
  Span span;
  MOIETY_HD void operator()(int64_t i) const {
    for (int64_t j = span.begin(i); j < span.end(i); ++j) {
      out[j] = static_cast<T>(static_cast<float>(a[j]) + static_cast<float>(b[j]));
    }
  }
};

#if defined(__CUDACC__)
/// Eight elements a thread: to = from, or to + from, or from + other.
template <int kPack, class From, class To, bool kAdd>
__global__ void move_kernel(const From* from, const From* other, To* to, int64_t n) {
  const int64_t i = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) * kPack;
  if (i >= n) return;
  float x[kPack], y[kPack];
  load_pack<kPack>(from + i, x);
  if constexpr (kAdd) {
    if (other != nullptr) {
      load_pack<kPack>(other + i, y);
    } else {
      load_pack<kPack>(to + i, y);
    }
#pragma unroll
    for (int j = 0; j < kPack; ++j) x[j] += y[j];
  }
  store_pack<kPack>(x, to + i);
}

template <bool kAdd, class From, class To>
void move_by_packs(Exec& exec, const From* from, const From* other, To* to, int64_t n) {
  if (n == 0) return;
  constexpr int kBlock = 256, kPack = 8;
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const auto bits = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(other) |
                    reinterpret_cast<uintptr_t>(to);
  if (bits % 16 == 0 && n % kPack == 0) {
    const auto grid = static_cast<unsigned>((n / kPack + kBlock - 1) / kBlock);
    move_kernel<kPack, From, To, kAdd><<<grid, kBlock, 0, stream>>>(from, other, to, n);
  } else {
    const auto grid = static_cast<unsigned>((n + kBlock - 1) / kBlock);
    move_kernel<1, From, To, kAdd><<<grid, kBlock, 0, stream>>>(from, other, to, n);
  }
}
#endif

void same_size(const char* op, ConstTensorView a, ConstTensorView b) {
  if (a.numel() != b.numel()) {
    throw Error(std::string(op) + ": " + std::to_string(a.numel()) + " elements against " +
                std::to_string(b.numel()));
  }
}

template <bool kAdd>
void move(Exec& exec, const char* op, ConstTensorView from, TensorView to) {
  same_size(op, from, to);
  const Span span(exec, to.numel());
  with_float(from.dtype, op, [&](auto a) {
    with_float(to.dtype, op, [&](auto b) {
      using From = decltype(a);
      using To = decltype(b);
#if defined(__CUDACC__)
      if (exec.is_cuda()) {
        return move_by_packs<kAdd>(exec, from.data<From>(), static_cast<const From*>(nullptr),
                                   to.data<To>(), to.numel());
      }
#endif
      for_each_row(exec, span.pieces(),
                   Move<From, To, kAdd>{from.data<From>(), to.data<To>(), span});
    });
  });
}

}  // namespace

void fill(Exec& exec, TensorView x, double value) {
  const Span span(exec, x.numel());
  if (x.dtype == DType::kI32) {
    for_each_row(exec, span.pieces(),
                 Fill<int32_t>{x.data<int32_t>(), static_cast<int32_t>(value), span});
  } else if (x.dtype == DType::kU8) {
    for_each_row(exec, span.pieces(),
                 Fill<uint8_t>{x.data<uint8_t>(), static_cast<uint8_t>(value), span});
  } else {
    with_float(x.dtype, "fill", [&](auto element) {
      using T = decltype(element);
      for_each_row(exec, span.pieces(),
                   Fill<T>{x.data<T>(), static_cast<T>(static_cast<float>(value)), span});
    });
  }
}

void copy(Exec& exec, ConstTensorView from, TensorView to) { move<false>(exec, "copy", from, to); }

void accumulate(Exec& exec, ConstTensorView from, TensorView to) {
  move<true>(exec, "accumulate", from, to);
}

void add(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView out) {
  same_size("add", a, b);
  same_size("add", a, out);
  const Span span(exec, out.numel());
  with_float(out.dtype, "add", [&](auto element) {
    using T = decltype(element);
#if defined(__CUDACC__)
    if (exec.is_cuda()) {
      return move_by_packs<true>(exec, a.data<T>(), b.data<T>(), out.data<T>(), out.numel());
    }
#endif
    for_each_row(exec, span.pieces(), Add<T>{a.data<T>(), b.data<T>(), out.data<T>(), span});
  });
}

}  // namespace moiety::ops
