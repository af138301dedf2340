// One functor for the CPU and the GPU where rows are wide: a group of threads shares a row on CUDA,
// one thread has it alone on the CPU.
//
//   struct Scale {
//     template <class G>
//     MOIETY_HD void operator()(const G& group, int64_t row) const {
//       const float total = group.sum(columns, [&](int64_t c) { return x[row][c]; });
//       group.each(columns, [&](int64_t c) { x[row][c] /= total; });
//     }
//   };
//   for_each_wide_row<32>(exec, rows, Scale{...});
#pragma once

#include <cmath>
#include <cstdint>

#include <moiety/rows.cuh>

namespace moiety::ops {

/// In front of a loop whose iterations touch disjoint elements, even where two pointers are equal.
#if defined(__CUDACC__)
#define MOIETY_INDEPENDENT
#else
#define MOIETY_INDEPENDENT _Pragma("GCC ivdep")
#endif

/// The whole row on one CPU thread. Sums run in 16 lanes, so they vectorize in any width and give
/// the same bits.
struct LoneThread {
  static constexpr bool kAlone = true;
  static constexpr int kLanes = 16;
  MOIETY_HD bool leader() const { return true; }

  template <class F>
  MOIETY_HD void each(int64_t n, const F& f) const {
    MOIETY_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) f(i);
  }
  template <class F>
  MOIETY_HD bool any(int64_t n, const F& f) const {
    for (int64_t i = 0; i < n; ++i) {
      if (f(i)) return true;
    }
    return false;
  }
  /// How often f holds.
  template <class F>
  MOIETY_HD int64_t count(int64_t n, const F& f) const {
    int64_t total = 0;
    for (int64_t i = 0; i < n; ++i) total += f(i) ? 1 : 0;
    return total;
  }
  template <class F>
  MOIETY_HD float sum(int64_t n, const F& term) const {
    return reduce(n, 0.0f, term, [](float a, float b) { return a + b; });
  }
  template <class F>
  MOIETY_HD float max(int64_t n, const F& term) const {
    return reduce(n, -INFINITY, term, [](float a, float b) { return b > a ? b : a; });
  }

 private:
  template <class F, class Op>
  MOIETY_HD float reduce(int64_t n, float start, const F& term, const Op& op) const {
    float lane[kLanes];
    for (int l = 0; l < kLanes; ++l) lane[l] = start;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int l = 0; l < kLanes; ++l) lane[l] = op(lane[l], term(i + l));
    }
    for (int l = 0; i + l < n; ++l) lane[l] = op(lane[l], term(i + l));
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int l = 0; l < width; ++l) lane[l] = op(lane[l], lane[l + width]);
    }
    return lane[0];
  }
};

#if defined(__CUDACC__)
/// kThreads threads of a block (32: one warp of several) that share a row. All of them must make
/// the same calls. A sum is known to every thread, and is a barrier when kThreads > 32.
template <int kThreads>
struct ThreadGroup {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  static constexpr bool kAlone = false;
  __device__ int rank() const { return static_cast<int>(threadIdx.x) % kThreads; }
  __device__ bool leader() const { return rank() == 0; }

  template <class F>
  __device__ void each(int64_t n, const F& f) const {
    for (int64_t i = rank(); i < n; i += kThreads) f(i);
  }
  template <class F>
  __device__ bool any(int64_t n, const F& f) const {
    int mine = 0;
    for (int64_t i = rank(); i < n; i += kThreads) mine |= f(i) ? 1 : 0;
    if constexpr (kThreads == 32) {
      return __any_sync(0xffffffffu, mine) != 0;
    } else {
      return __syncthreads_or(mine) != 0;
    }
  }
  template <class F>
  __device__ int64_t count(int64_t n, const F& f) const {
    static_assert(kThreads == 32);
    int mine = 0;
    for (int64_t i = rank(); i < n; i += kThreads) mine += f(i) ? 1 : 0;
    return __reduce_add_sync(0xffffffffu, mine);
  }
  template <class F>
  __device__ float sum(int64_t n, const F& term) const {
    return reduce(n, 0.0f, term, [](float a, float b) { return a + b; });
  }
  template <class F>
  __device__ float max(int64_t n, const F& term) const {
    return reduce(n, -INFINITY, term, [](float a, float b) { return b > a ? b : a; });
  }

 private:
  template <class F, class Op>
  __device__ float reduce(int64_t n, float start, const F& term, const Op& op) const {
    float value = start;
    for (int64_t i = rank(); i < n; i += kThreads) value = op(value, term(i));
    for (int offset = 16; offset > 0; offset /= 2) {
      value = op(value, __shfl_xor_sync(0xffffffffu, value, offset));
    }
    if constexpr (kThreads > 32) {
      __shared__ float of_warp[kThreads / 32];
      __syncthreads();  // the one before has been read
      if (rank() % 32 == 0) of_warp[rank() / 32] = value;
      __syncthreads();
      value = of_warp[0];
      for (int w = 1; w < kThreads / 32; ++w) value = op(value, of_warp[w]);
    }
    return value;
  }
};

template <int kThreads, class F>
__global__ void wide_rows_kernel(int64_t rows, F f) {
  constexpr int kRowsPerBlock = kThreads == 32 ? 4 : 1;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kThreads;
  if (row < rows) f(ThreadGroup<kThreads>{}, row);  // a whole group leaves together
}
#endif

template <class F>
void row_alone(const void* f, int64_t row) {
  (*static_cast<const F*>(f))(LoneThread{}, row);
}

#if defined(__x86_64__) && !defined(__CUDACC__)
/// The same with wider vectors: flatten pulls the functor into this function. Equal bits, since
/// products and sums are never contracted and lanes are fixed.
template <class F>
__attribute__((target("avx2"), flatten)) void row_alone_avx2(const void* f, int64_t row) {
  (*static_cast<const F*>(f))(LoneThread{}, row);
}
#endif

template <class F>
Exec::RowFn row_alone_here() {
#if defined(__x86_64__) && !defined(__CUDACC__)
  if (__builtin_cpu_supports("avx2")) return row_alone_avx2<F>;
#endif
  return row_alone<F>;
}

/// Calls f(group, row) for every row, kThreads threads a row on CUDA.
template <int kThreads, class F>
void for_each_wide_row(Exec& exec, int64_t rows, const F& f) {
  if (rows == 0) return;
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    constexpr int kRowsPerBlock = kThreads == 32 ? 4 : 1;
    const auto grid = static_cast<unsigned>((rows + kRowsPerBlock - 1) / kRowsPerBlock);
    wide_rows_kernel<kThreads>
        <<<grid, kThreads * kRowsPerBlock, 0, static_cast<cudaStream_t>(exec.stream())>>>(rows, f);
    return;
  }
#endif
  exec.cpu_rows(rows, row_alone_here<F>(), &f);
}

}  // namespace moiety::ops
