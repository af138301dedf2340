#include "core/ops/attention_tile.h"

#include <cmath>

#include "core/ops/fast_exp.h"

// Bodies are inlined into one function per instruction set.
#define MOIETY_INLINE __attribute__((always_inline)) inline

namespace moiety::ops {

namespace {

typedef float V4 __attribute__((vector_size(16)));
typedef float V8 __attribute__((vector_size(32)));
typedef float V16 __attribute__((vector_size(64)));

// Memory is aligned as floats are. An `aligned` attribute on the types would not say so: templates
// ignore it on their arguments.
template <class V>
MOIETY_INLINE void load(const float* from, V& to) {
  __builtin_memcpy(&to, from, sizeof to);
}
template <class V>
MOIETY_INLINE void store(const V& from, float* to) {
  __builtin_memcpy(to, &from, sizeof from);
}

/// kRows rows by 16 columns of c, in registers over all of k.
template <class V, int kRows>
MOIETY_INLINE void block(int64_t k, const float* a, int64_t a_row, int64_t a_column, const float* b,
                         int64_t b_row, float* c, int64_t c_row) {
  constexpr int kLanes = sizeof(V) / sizeof(float), kVectors = 16 / kLanes;
  V sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      load(c + i * c_row + v * kLanes, sum[i][v]);
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    V right[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      load(b + p * b_row + v * kLanes, right[v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float left = a[i * a_row + p * a_column];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      store(sum[i][v], c + i * c_row + v * kLanes);
    }
  }
}

template <class V, int kRows>
MOIETY_INLINE void multiply_add(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
                                int64_t a_column, const float* b, int64_t b_row, float* c,
                                int64_t c_row) {
  for (int64_t j = 0; j < n; j += 16) {
    int64_t i = 0;
    for (; i + kRows <= m; i += kRows) {
      block<V, kRows>(k, a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row);
    }
    for (; i < m; ++i) {
      block<V, 1>(k, a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row);
    }
  }
}

/// Over 64 values in 16 lanes, whatever the width of a vector.
template <class Op>
MOIETY_INLINE float reduce(const float* x, const Op& op) {
  float lane[16];
  for (int l = 0; l < 16; ++l) lane[l] = op(op(x[l], x[l + 16]), op(x[l + 32], x[l + 48]));
  for (int width = 8; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lane[l] = op(lane[l], lane[l + width]);
  }
  return lane[0];
}

MOIETY_INLINE float softmax_step(int64_t valid, float* scores, float* top, float* sum) {
  for (int64_t j = valid; j < kTile; ++j) scores[j] = -INFINITY;
  const float best = reduce(scores, [](float a, float b) { return b > a ? b : a; });
  const float now = best > *top ? best : *top;
  for (int64_t j = 0; j < kTile; ++j) scores[j] = fast_exp(scores[j] - now);
  const float shrink = fast_exp(*top - now);
  *sum = *sum * shrink + reduce(scores, [](float a, float b) { return a + b; });
  *top = now;
  return shrink;
}

MOIETY_INLINE void softmax_backward(int64_t valid, const float* keep, float log_sum, float delta,
                                    float* scores, float* dprobability) {
  for (int64_t j = valid; j < kTile; ++j) scores[j] = -INFINITY;
  if (keep == nullptr) {
    for (int64_t j = 0; j < kTile; ++j) {
      const float p = fast_exp(scores[j] - log_sum);
      dprobability[j] = p * (dprobability[j] - delta);
      scores[j] = p;
    }
  } else {
    for (int64_t j = 0; j < kTile; ++j) {
      const float p = fast_exp(scores[j] - log_sum);
      dprobability[j] = p * (dprobability[j] * keep[j] - delta);
      scores[j] = p * keep[j];
    }
  }
}

#define MOIETY_TILE_MATH(name, attribute, V, kRows)                                           \
  attribute void multiply_add_##name(int64_t m, int64_t n, int64_t k, const float* a,         \
                                     int64_t a_row, int64_t a_column, const float* b,         \
                                     int64_t b_row, float* c, int64_t c_row) {                \
    multiply_add<V, kRows>(m, n, k, a, a_row, a_column, b, b_row, c, c_row);                  \
  }                                                                                           \
  attribute float softmax_step_##name(int64_t valid, float* scores, float* top, float* sum) { \
    return softmax_step(valid, scores, top, sum);                                             \
  }                                                                                           \
  attribute void softmax_backward_##name(int64_t valid, const float* keep, float log_sum,     \
                                         float delta, float* scores, float* dprobability) {   \
    softmax_backward(valid, keep, log_sum, delta, scores, dprobability);                      \
  }                                                                                           \
  constexpr TileMath k_##name{multiply_add_##name, softmax_step_##name, softmax_backward_##name};

MOIETY_TILE_MATH(any, , V4, 2)
#if defined(__x86_64__)
MOIETY_TILE_MATH(avx2, __attribute__((target("avx2"))), V8, 4)
MOIETY_TILE_MATH(avx512, __attribute__((target("avx512f,avx512dq,avx512vl"))), V16, 8)
#endif

struct Choices {
  const TileMath* of[3] = {&k_any};
  int count = 1;
  Choices() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) of[count++] = &k_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      of[count++] = &k_avx512;
    }
#endif
  }
};

const Choices& choices() {
  static const Choices once;
  return once;
}

}  // namespace

const TileMath& tile_math() { return *choices().of[choices().count - 1]; }

const TileMath* const* all_tile_math(int* count) {
  *count = choices().count;
  return choices().of;
}

}  // namespace moiety::ops
