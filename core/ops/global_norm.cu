// The norm over a list of tensors: a sum in f64 for each chunk, then one over the chunks, both in
// an order that only the sizes decide.
#include <cmath>

#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/packs.cuh"
#include "core/ops/step_ops.h"

namespace moiety::ops {

namespace {

constexpr int64_t kChunk = 65536;  // elements

#if defined(__CUDACC__)
/// The sum of every thread's value, in thread 0.
template <int kThreads>
__device__ double block_sum(double mine) {
  __shared__ double sums[kThreads];
  sums[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  return sums[0];
}

constexpr int kThreads = 256;

template <int kPack, class T>
__device__ double squares_of(const T* x, int64_t n) {
  double sum = 0;
  for (int64_t i = int64_t{threadIdx.x} * kPack; i < n; i += kThreads * kPack) {
    float values[kPack];
    load_pack<kPack>(x + i, values);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      const double v = values[j];
      sum += v * v;
    }
  }
  return sum;
}

/// Sixteen bytes a load where the chunk allows it: its size and place in the tensor decide.
template <class T>
__device__ double squares_of(const TensorList::Chunk& chunk) {
  const auto* x = static_cast<const T*>(chunk.data);
  const bool wide = reinterpret_cast<uintptr_t>(x) % 16 == 0 && chunk.size % 8 == 0;
  return wide ? squares_of<8>(x, chunk.size) : squares_of<1>(x, chunk.size);
}

__global__ void chunk_squares_kernel(const TensorList::Chunk* chunks, double* squares) {
  const TensorList::Chunk chunk = chunks[blockIdx.x];
  double sum = 0;
  if (chunk.dtype == DType::kF32) {
    sum = squares_of<1>(static_cast<const float*>(chunk.data), chunk.size);
  } else if (chunk.dtype == DType::kBF16) {
    sum = squares_of<BFloat16>(chunk);
  } else {
    sum = squares_of<Float16>(chunk);
  }
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

__global__ void root_kernel(const double* squares, int64_t n, float* out) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += squares[i];
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) *out = static_cast<float>(sqrt(sum));
}
#endif

struct ChunkSquares {
  const TensorList::Chunk* chunks;
  double* squares;
  MOIETY_HD void operator()(int64_t i) const {
    const TensorList::Chunk& chunk = chunks[i];
    if (chunk.dtype == DType::kF32) squares[i] = sum(static_cast<const float*>(chunk.data), chunk);
    if (chunk.dtype == DType::kBF16) {
      squares[i] = sum(static_cast<const BFloat16*>(chunk.data), chunk);
    }
    if (chunk.dtype == DType::kF16) {
      squares[i] = sum(static_cast<const Float16*>(chunk.data), chunk);
    }
  }
  template <class T>
  MOIETY_HD static double sum(const T* x, const TensorList::Chunk& chunk) {
    const int64_t n = chunk.size;
    double lanes[8] = {};
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) {
      for (int lane = 0; lane < 8; ++lane) {
        const auto v = static_cast<double>(static_cast<float>(x[j + lane]));
        lanes[lane] += v * v;
      }
    }
    for (; j < n; ++j) {
      const auto v = static_cast<double>(static_cast<float>(x[j]));
      lanes[0] += v * v;
    }
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
  }
};

struct Root {
  const double* squares;
  int64_t n;
  float* out;
  MOIETY_HD void operator()(int64_t) const {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += squares[i];
    *out = static_cast<float>(::sqrt(sum));
  }
};

}  // namespace

TensorList::TensorList(Exec& exec, std::span<const TensorView> tensors) {
  std::vector<Chunk> chunks;
  for (const TensorView& t : tensors) {
    t.check(t.dtype, /*dense=*/true);
    const int64_t element = size_of(t.dtype);
    with_float(t.dtype, "TensorList", [](auto) {});
    const auto* data = static_cast<const char*>(t.ptr);
    for (int64_t begin = 0, n = t.numel(); begin < n; begin += kChunk) {
      chunks.push_back({data + begin * element, n - begin < kChunk ? n - begin : kChunk, t.dtype});
    }
  }
  size_ = static_cast<int64_t>(chunks.size());
  if (size_ == 0) return;
  chunks_ = static_cast<const Chunk*>(exec.upload(chunks.data(), chunks.size() * sizeof(Chunk)));
}

void global_norm(Exec& exec, const TensorList& list, TensorView out) {
  const int64_t n = list.size();
  // There is no f64 among the dtypes; i64 has its size.
  auto* squares = reinterpret_cast<double*>(exec.scratch(DType::kI64, {n}).data<int64_t>());
#if defined(__CUDACC__)
  if (exec.is_cuda()) {
    auto* stream = static_cast<cudaStream_t>(exec.stream());
    if (n > 0) {
      chunk_squares_kernel<<<static_cast<unsigned>(n), kThreads, 0, stream>>>(list.chunks(),
                                                                              squares);
    }
    root_kernel<<<1, kThreads, 0, stream>>>(squares, n, out.data<float>());
    return;
  }
#endif
  for_each_row(exec, n, ChunkSquares{list.chunks(), squares});
  for_each_row(exec, 1, Root{squares, n, out.data<float>()});
}

}  // namespace moiety::ops
