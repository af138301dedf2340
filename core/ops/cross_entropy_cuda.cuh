// Cross-entropy on a GPU: a block a row, which it reads from memory once. A running maximum and
// sum; the row stays in shared memory, where it fits, until the gradient is written.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/ops/loss_rows.cuh"
#include "core/ops/packs.cuh"

#if defined(__CUDACC__)

#include "core/device/cuda_check.h"

namespace moiety::ops {

/// max and sum of e^(x - max) over what was seen.
struct RunningSum {
  float top = -INFINITY, sum = 0;
  __device__ void merge(float other_top, float other_sum) {
    const float t = fmaxf(top, other_top);
    const float mine = top == t ? sum : sum * __expf(top - t);
    const float other = other_top == t ? other_sum : other_sum * __expf(other_top - t);
    top = t;
    sum = mine + other;
  }
};

template <int kThreads>
__device__ inline RunningSum of_block(RunningSum r) {
  __shared__ float top[kThreads / 32], sum[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) {
    const float other_top = __shfl_xor_sync(0xffffffffu, r.top, offset);
    const float other_sum = __shfl_xor_sync(0xffffffffu, r.sum, offset);
    r.merge(other_top, other_sum);
  }
  if (threadIdx.x % 32 == 0) top[threadIdx.x / 32] = r.top, sum[threadIdx.x / 32] = r.sum;
  __syncthreads();
  r = {top[0], sum[0]};
  for (int w = 1; w < kThreads / 32; ++w) r.merge(top[w], sum[w]);
  return r;
}

/// kWidth elements as they lie in memory.
template <class T, int kWidth>
using RawPack = std::conditional_t<kWidth == 1, T, Chunk<static_cast<int>(sizeof(T)) * kWidth>>;

template <int kThreads, int kWidth, bool kHeld, class T>
__global__ void __launch_bounds__(kThreads, 1024 / kThreads)
    cross_entropy_kernel(Rows<const T> logits, LossRows<T> rows, SmoothTarget wish,
                         float* row_loss) {
  using Raw = RawPack<T, kWidth>;
  extern __shared__ __align__(16) unsigned char shared[];
  const int64_t row = blockIdx.x, V = rows.V, t = rows.target[row];
  const ThreadGroup<kThreads> group;
  if (t < 0 || t >= V) {  // no loss; a target outside the vocabulary is loud
    const float value = t < 0 ? 0.0f : NAN;
    if (group.leader()) row_loss[row] = value;
    return rows.fill(group, row, value);
  }
  const T* in = logits[row];
  const auto* packs = reinterpret_cast<const Raw*>(in);
  auto* held = reinterpret_cast<Raw*>(shared);
  const auto wanted = static_cast<float>(in[t]);  // before the barriers: grad may lie over it
  const int count = static_cast<int>(V / kWidth);
  RunningSum running;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const Raw raw = packs[i];
    if constexpr (kHeld) held[i] = raw;
    float x[kWidth];
    load_pack<kWidth>(reinterpret_cast<const T*>(&raw), x);
    float top = x[0];
#pragma unroll
    for (int j = 1; j < kWidth; ++j) top = fmaxf(top, x[j]);
    if (top > running.top) {
      running.sum *= __expf(running.top - top);
      running.top = top;
    }
    const float from = running.top == -INFINITY ? 0.0f : running.top;  // only -inf so far
#pragma unroll
    for (int j = 0; j < kWidth; ++j) running.sum += __expf(x[j] - from);
  }
  running = of_block<kThreads>(running);
  const float loss = wish.loss(group, in, V, logf(running.sum), running.top, wanted);
  if (group.leader()) row_loss[row] = loss;
  if (rows.grad.ptr == nullptr) return;
  const float scale = rows.factor(row);
  if (scale == 0) return rows.fill(group, row, 0);
  T* to = rows.grad[row];
  const float by = scale / running.sum, off = wish.off * scale;
  const int of_target = static_cast<int>(t / kWidth), in_pack = static_cast<int>(t % kWidth);
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const Raw raw = kHeld ? held[i] : packs[i];
    float x[kWidth];
    load_pack<kWidth>(reinterpret_cast<const T*>(&raw), x);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) x[j] = __expf(x[j] - running.top) * by - off;
    if (i == of_target) {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        if (j == in_pack) x[j] += (wish.off - wish.on) * scale;
      }
    }
    store_pack<kWidth>(x, to + int64_t{i} * kWidth);
  }
}

template <int kThreads, int kWidth, class T>
void launch_cross_entropy(cudaStream_t stream, int64_t R, Rows<const T> logits,
                          const LossRows<T>& rows, const SmoothTarget& wish, float* row_loss) {
  constexpr size_t kMostShared = 220 * 1024;
  const size_t bytes = (static_cast<size_t>(rows.V) * sizeof(T) + 15) / 16 * 16;
  const auto grid = static_cast<unsigned>(R);
  if (bytes > kMostShared) {
    cross_entropy_kernel<kThreads, kWidth, false>
        <<<grid, kThreads, 0, stream>>>(logits, rows, wish, row_loss);
    return;
  }
  const auto kernel = cross_entropy_kernel<kThreads, kWidth, true, T>;
  if (bytes > 40 * 1024) {
    MOIETY_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(bytes)));
  }
  kernel<<<grid, kThreads, bytes, stream>>>(logits, rows, wish, row_loss);
}

template <class T>
void cross_entropy_cuda(Exec& exec, int64_t R, Rows<const T> logits, const LossRows<T>& rows,
                        const SmoothTarget& wish, float* row_loss) {
  if (R == 0) return;
  auto* stream = static_cast<cudaStream_t>(exec.stream());
  const bool wide = packed(logits, rows.V) && packed(rows.grad, rows.V);
  if (rows.V > 4096) {
    if (wide) {
      launch_cross_entropy<512, kPackOf<T>>(stream, R, logits, rows, wish, row_loss);
    } else {
      launch_cross_entropy<512, 1>(stream, R, logits, rows, wish, row_loss);
    }
  } else if (wide) {
    launch_cross_entropy<128, kPackOf<T>>(stream, R, logits, rows, wish, row_loss);
  } else {
    launch_cross_entropy<128, 1>(stream, R, logits, rows, wish, row_loss);
  }
}

}  // namespace moiety::ops

#endif
