// Rotary position embedding (Su et al., 2021) of a part of each head.
#include <cmath>
#include <string>

#include "core/ops/attention.h"
#include "core/ops/dtype.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

/// cosine and sine of position * frequency, in double: angles reach the sequence's length.
struct Angles {
  float* table;  // [S, half, 2]
  int64_t half;
  double theta;
  RopeScaling scaling;
  bool inverse;
  MOIETY_HD void operator()(int64_t i) const {
    const auto position = static_cast<double>(i / half), pair = static_cast<double>(i % half);
    const double angle = position * rope_frequency(scaling, theta, pair, static_cast<double>(half));
    const double m = scaling.magnitude;
    table[2 * i] = static_cast<float>(m * cos(angle));
    table[2 * i + 1] = static_cast<float>(m * (inverse ? -sin(angle) : sin(angle)));
  }
};

/// Pair i of a head lies at begin + i * step and `gap` further on.
template <class T>
struct Rotate {
  Rows<T> qkv;
  const float* table;
  int64_t sequence, heads, head_dim;  // heads: those of q and of k
  int64_t begin, half, step, gap;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float* angles = table + t % sequence * half * 2;
    for (int64_t h = 0; h < heads; ++h) {
      T *first = qkv[t] + h * head_dim + begin, *second = first + gap;
      group.each(half, [&](int64_t i) {
        const auto a = static_cast<float>(first[i * step]),
                   b = static_cast<float>(second[i * step]);
        const float c = angles[2 * i], s = angles[2 * i + 1];
        first[i * step] = static_cast<T>(a * c - b * s);
        second[i * step] = static_cast<T>(b * c + a * s);
      });
    }
  }
};

}  // namespace

void rope(Exec& exec, const AttentionShape& shape, const RopeForm& form, bool inverse,
          TensorView qkv) {
  const int64_t size = form.size > 0 ? form.size : shape.head_dim - form.begin;
  if (form.begin < 0 || size < 0 || form.begin + size > shape.head_dim) {
    throw Error("rope: " + std::to_string(size) + " numbers from " + std::to_string(form.begin) +
                " on do not lie within a head of " + std::to_string(shape.head_dim));
  }
  if (size % 2 != 0) {
    throw Error("rope: " + std::to_string(size) + " numbers of a head turn, they must be even");
  }
  const int64_t T = shape.batch * shape.sequence, half = size / 2;
  check_shape("rope", "qkv", qkv, {T, shape.qkv_width()});
  if (T == 0) return;
  float* table = exec.scratch(DType::kF32, {shape.sequence, half, 2}).data<float>();
  for_each_row(exec, shape.sequence * half, Angles{table, half, form.theta, form.scaling, inverse});
  with_float(qkv.dtype, "rope", [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<32>(exec, T,
                          Rotate<E>{qkv.rows<E>(), table, shape.sequence,
                                    shape.heads + shape.kv_heads, shape.head_dim, form.begin, half,
                                    form.interleaved ? 2 : 1, form.interleaved ? 1 : half});
  });
}

}  // namespace moiety::ops
