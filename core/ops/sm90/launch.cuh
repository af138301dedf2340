// From a problem to a launch of one tile shape.
#pragma once

#include <algorithm>

#include "core/device/cuda_check.h"
#include "core/ops/sm90/grouped_kernel.cuh"
#include "core/ops/sm90/grouped_problem.h"
#include "core/ops/sm90/tensor_map.h"

namespace moiety::ops::sm90 {

/// Whether rows begin at multiples of 16 bytes, as the copy engine and the stores need it, and
/// coordinates, and a row's first 16 bytes, fit into 32 bits.
inline bool rows_fit(const Matrix& m, int64_t element_bytes) {
  constexpr int64_t kMost = int64_t{1} << 31;
  return reinterpret_cast<uintptr_t>(m.data) % 16 == 0 && m.pitch * element_bytes % 16 == 0 &&
         m.rows > 0 && m.columns > 0 && m.rows < kMost && m.columns < kMost &&
         m.rows * (m.pitch * element_bytes / 16) < kMost;
}
inline bool operand_fits(const Matrix& m, Number number = Number::kBF16) {
  return rows_fit(m, bytes_of(number));
}

/// A result is stored 16 bytes at a time, so that no piece may hang over its last column.
inline bool result_fits(const Matrix& m, Number number) {
  return rows_fit(m, bytes_of(number)) && m.columns % 8 == 0;
}

/// Indices of scales are int.
inline constexpr int64_t kMostScales = int64_t{1} << 31;

/// The operands of a product.
inline bool fits(const ProductProblem& p) {
  const int64_t K = p.a.columns, J = p.out.columns;
  const Matrix w{const_cast<void*>(p.w), K, J, p.transposed ? K : J};
  return operand_fits(p.a, p.operands) && operand_fits(w, p.operands) &&
         K * bytes_of(p.operands) % 16 == 0 && p.segments.number <= kMaxSegments &&
         (!is_scaled(p.operands) || (p.transposed && p.a.rows * p.scales.a_pitch < kMostScales));
}

inline int multiprocessors() {
  int device = 0, count = 0;
  MOIETY_CUDA_CHECK(cudaGetDevice(&device));
  MOIETY_CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

template <class Kernel>
void launch(const KernelArguments<Kernel>& arguments, int64_t tiles, cudaStream_t stream) {
  constexpr int kBytes = sizeof(SharedMemory<Kernel>);
  static_assert(kBytes <= kSharedBytes);
  auto* kernel = &grouped_kernel<Kernel>;
  MOIETY_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const int64_t clusters = std::min<int64_t>(multiprocessors() / Kernel::kCluster, tiles);
  if (clusters == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(clusters * Kernel::kCluster));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = kBytes;
  config.stream = stream;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {Kernel::kCluster, 1, 1};
  config.attrs = &cluster;
  config.numAttrs = 1;
  MOIETY_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, arguments));
}

inline int64_t tiles_in(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

/// Rows of the box in which `blocks` blocks share `size` rows or columns of an operand, of which
/// `run` lie side by side.
inline int box_rows(Major major, int size, int run, int blocks) {
  return major == Major::kDepth ? std::min(size / blocks, run) : kBoxWidth;
}

inline IndexedRows indexed_rows(const Matrix& m, Number number, const int32_t* row) {
  return {m.data, static_cast<int>(m.pitch * bytes_of(number) / 16), static_cast<int>(m.columns),
          row};
}

/// A product of any finish, whose result has `width` columns.
template <class Kernel>
void launch_product(const ProductProblem& p, int64_t width,
                    const typename Kernel::Finish::Arguments& finish, cudaStream_t stream) {
  constexpr bool kGather = Kernel::kGather == Gather::kA;
  const int64_t K = p.a.columns, J = Kernel::Finish::kGated ? 2 * width : width;
  const Matrix w = p.transposed ? Matrix{const_cast<void*>(p.w), J, K, K}
                                : Matrix{const_cast<void*>(p.w), K, J, J};
  KernelArguments<Kernel> arguments{
      kGather ? CUtensorMap{}
              : tensor_map(p.a, 1, p.operands,
                           box_rows(Kernel::kMajorA, Kernel::kM, Kernel::kM, Kernel::kAcross)),
      tensor_map(w, p.experts, p.operands,
                 box_rows(Kernel::kMajorB, Kernel::kN, Kernel::kColumns, Kernel::kDown)),
      indexed_rows(p.a, p.operands, p.row),
      p.scales,
      {p.segments.start, p.segments.count, p.segments.number, p.experts, 0, static_cast<int>(width),
       static_cast<int>(K)},
      finish};
  const int64_t down =
      p.out.rows / (Kernel::kM * Kernel::kDown) + std::min<int64_t>(p.segments.number, p.out.rows);
  launch<Kernel>(arguments, down * tiles_in(width, Kernel::kColumns * Kernel::kAcross), stream);
}

template <class Kernel>
void launch_gradient(const GradientProblem& p, cudaStream_t stream) {
  const int64_t K = p.a.columns, J = p.dout.columns;
  constexpr Gather kGather = Kernel::kGather;
  KernelArguments<Kernel> arguments{
      kGather == Gather::kA ? CUtensorMap{} : tensor_map(p.a, 1, p.operands, kBoxWidth),
      kGather == Gather::kB ? CUtensorMap{} : tensor_map(p.dout, 1, p.operands, kBoxWidth),
      kGather == Gather::kB ? indexed_rows(p.dout, p.operands, p.dout_row)
                            : indexed_rows(p.a, p.operands, p.a_row),
      {},
      {p.segments.start, p.segments.count, p.segments.number, p.experts, static_cast<int>(K),
       static_cast<int>(J), 0},
      {tensor_map({p.grad, K, J, J}, p.experts, p.result, Kernel::Finish::Boxes::kRows),
       {static_cast<typename Kernel::Finish::Out*>(p.grad), J, p.accumulate}}};
  launch<Kernel>(arguments,
                 p.experts * tiles_in(K, Kernel::kM * Kernel::kDown) *
                     tiles_in(J, Kernel::kColumns * Kernel::kAcross),
                 stream);
}

}  // namespace moiety::ops::sm90
