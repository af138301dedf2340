// Rotary position embedding (Su et al., 2021) of a part of each head.
#include <cmath>
#include <string>

#include "core/ops/attention.h"
#include "core/ops/documents.h"
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

template <class T>
MOIETY_HD void turn(T& first, T& second, float c, float s) {
  const auto a = static_cast<float>(first), b = static_cast<float>(second);
  first = static_cast<T>(a * c - b * s);
  second = static_cast<T>(b * c + a * s);
}

/// Pair i of a head lies at begin + i * step and `gap` further on.
template <class T>
struct Rotate {
  Rows<T> qkv;
  const float* table;
  const int32_t* starts;              // of documents; null: positions count from the sequence's
  int64_t sequence, heads, head_dim;  // heads: those of q and of k
  int64_t begin, half, step, gap;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const float* angles = table + place_of_token(starts, t, sequence) * half * 2;
    for (int64_t h = 0; h < heads; ++h) {
      T *first = qkv[t] + h * head_dim + begin, *second = first + gap;
      group.each(half, [&](int64_t i) {
        turn(first[i * step], second[i * step], angles[2 * i], angles[2 * i + 1]);
      });
    }
  }
};

template <class T>
struct alignas(16) Eight {
  T at[8];
};

/// The same for eight pairs at a time, of every `chunks`-th head: loads of 16 bytes for CUDA.
template <class T>
struct RotateEights {
  Rotate<T> form;
  int64_t chunks;

  MOIETY_HD void operator()(int64_t item) const {
    const int64_t groups = form.half / 8, group = item % groups;
    const int64_t chunk = item / groups % chunks, t = item / groups / chunks;
    const int64_t place = place_of_token(form.starts, t, form.sequence);
    const int64_t angles = (place * form.half + group * 8) * 2;
    const auto* table = reinterpret_cast<const Eight<float>*>(form.table + angles);
    const Eight<float> low = table[0], high = table[1];  // four pairs each: cosine, sine, cosine...
    const int64_t first = form.begin + group * 8 * form.step;
    const int64_t second = form.step == 2 ? first + 8 : first + form.gap;
    for (int64_t h = chunk; h < form.heads; h += chunks) {
      T* head = form.qkv[t] + h * form.head_dim;
      Eight<T> a = *reinterpret_cast<Eight<T>*>(head + first);
      Eight<T> b = *reinterpret_cast<Eight<T>*>(head + second);
      if (form.step == 2) {
        for (int i = 0; i < 4; ++i) {
          turn(a.at[2 * i], a.at[2 * i + 1], low.at[2 * i], low.at[2 * i + 1]);
          turn(b.at[2 * i], b.at[2 * i + 1], high.at[2 * i], high.at[2 * i + 1]);
        }
      } else {
        for (int i = 0; i < 4; ++i) {
          turn(a.at[i], b.at[i], low.at[2 * i], low.at[2 * i + 1]);
          turn(a.at[i + 4], b.at[i + 4], high.at[2 * i], high.at[2 * i + 1]);
        }
      }
      *reinterpret_cast<Eight<T>*>(head + first) = a;
      *reinterpret_cast<Eight<T>*>(head + second) = b;
    }
  }
  static bool fits(const Rotate<T>& f) {
    return f.half % 8 == 0 && f.begin % 8 == 0 && f.head_dim % 8 == 0 && f.qkv.pitch % 8 == 0 &&
           reinterpret_cast<uintptr_t>(f.qkv.ptr) % 16 == 0;
  }
};

}  // namespace

void rope(Exec& exec, const AttentionShape& shape, const RopeForm& form, bool inverse,
          TensorView qkv, ConstTensorView starts) {
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
  if (starts) check_shape("rope", "starts", starts, {T});
  if (T == 0) return;
  float* table = exec.scratch(DType::kF32, {shape.sequence, half, 2}).data<float>();
  for_each_row(exec, shape.sequence * half, Angles{table, half, form.theta, form.scaling, inverse});
  with_float(qkv.dtype, "rope", [&](auto element) {
    using E = decltype(element);
    const Rotate<E> rotate{qkv.rows<E>(),
                           table,
                           starts ? starts.data<int32_t>() : nullptr,
                           shape.sequence,
                           shape.heads + shape.kv_heads,
                           shape.head_dim,
                           form.begin,
                           half,
                           form.interleaved ? 2 : 1,
                           form.interleaved ? 1 : half};
    if (exec.is_cuda() && RotateEights<E>::fits(rotate)) {
      constexpr int64_t kHeads = 4;  // that share the angles a thread has read
      const int64_t chunks = (rotate.heads + kHeads - 1) / kHeads;
      for_each_row(exec, T * chunks * (half / 8), RotateEights<E>{rotate, chunks});
    } else {
      for_each_wide_row<32>(exec, T, rotate);
    }
  });
}

}  // namespace moiety::ops
