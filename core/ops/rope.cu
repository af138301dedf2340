// Rotary position embedding (Su et al., 2021), halves paired as in Llama.
#include <cmath>
#include <string>

#include "core/ops/attention.h"
#include "core/ops/dtype.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

/// cosine and sine of position * theta^(-2 i / head_dim), in double: angles reach the sequence's
/// length.
struct Angles {
  float* table;  // [S, half, 2]
  int64_t half;
  double theta;
  bool inverse;
  MOIETY_HD void operator()(int64_t i) const {
    const auto position = static_cast<double>(i / half), pair = static_cast<double>(i % half);
    const double angle = position * pow(theta, -pair / static_cast<double>(half));
    table[2 * i] = static_cast<float>(cos(angle));
    table[2 * i + 1] = static_cast<float>(inverse ? -sin(angle) : sin(angle));
  }
};

template <class T>
struct Rotate {
  Rows<T> qkv;
  const float* table;
  int64_t sequence, heads, half;  // heads: those of q and of k

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float* angles = table + t % sequence * half * 2;
    for (int64_t h = 0; h < heads; ++h) {
      T *first = qkv[t] + 2 * h * half, *second = first + half;
      group.each(half, [&](int64_t i) {
        const auto a = static_cast<float>(first[i]), b = static_cast<float>(second[i]);
        const float c = angles[2 * i], s = angles[2 * i + 1];
        first[i] = static_cast<T>(a * c - b * s);
        second[i] = static_cast<T>(b * c + a * s);
      });
    }
  }
};

}  // namespace

void rope(Exec& exec, const AttentionShape& shape, double theta, bool inverse, TensorView qkv) {
  if (shape.head_dim % 2 != 0) {
    throw Error("rope: head_dim is " + std::to_string(shape.head_dim) + ", it must be even");
  }
  const int64_t T = shape.batch * shape.sequence, half = shape.head_dim / 2;
  check_shape("rope", "qkv", qkv, {T, (shape.heads + 2 * shape.kv_heads) * shape.head_dim});
  if (T == 0) return;
  float* table = exec.scratch(DType::kF32, {shape.sequence, half, 2}).data<float>();
  for_each_row(exec, shape.sequence * half, Angles{table, half, theta, inverse});
  with_float(qkv.dtype, "rope", [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<32>(
        exec, T,
        Rotate<E>{qkv.rows<E>(), table, shape.sequence, shape.heads + shape.kv_heads, half});
  });
}

}  // namespace moiety::ops
