// The fixed numbers of one kernel: which product, which tile, how many stages.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "core/ops/sm90/mbarrier.cuh"
#include "core/ops/sm90/wgmma.cuh"

namespace moiety::ops::sm90 {

enum class Form : uint8_t {
  kProduct,            // rows of a segment times w [K, J]
  kTransposedProduct,  // the same with w [J, K]
  kGradient,           // a^T dout over an expert's rows
};

/// Which operand's rows are named by an index, and so fetched by threads instead of the copy
/// engine.
enum class Gather : uint8_t { kNone, kA, kB };

inline constexpr int kWarpgroup = 128;
inline constexpr int kThreads = 3 * kWarpgroup;  // one warpgroup fetches, two multiply
inline constexpr int kConsumerWarps = 8;
inline constexpr int kRowBytes = 128;  // of a row of a stage
inline constexpr int kMaxSegments = 1024;
inline constexpr int kStagingBytes = 16 * 128;   // 16 rows of a warp's results
inline constexpr int kSharedBytes = 227 * 1024;  // what a block can have

/// kM x kN sums a tile, half of its rows for each consumer warpgroup. Blocks that stand side by
/// side, kDown in a column or kAcross in a row, share what they both need: each fetches half of it
/// for both.
template <int kM_, int kN_, int kDown_ = 1, int kAcross_ = 1>
struct TileShape {
  static constexpr int kM = kM_, kN = kN_, kDown = kDown_, kAcross = kAcross_;
  static constexpr int kCluster = kDown * kAcross;
  static constexpr int kRowBlocks = kM / 128;  // of 64 rows, of one warpgroup
  static_assert(kRowBlocks >= 1 && kCluster <= 2);
};

/// One kernel: Finish_ says what becomes of the sums (finish.cuh).
template <Form kForm_, class T_, class Shape, Gather kGather_, class Finish_>
struct GroupedKernel : Shape {
  static constexpr Form kForm = kForm_;
  using T = T_;
  using Finish = Finish_;
  static constexpr Gather kGather = kGather_;
  static constexpr bool kGradient = kForm == Form::kGradient;
  /// Operands of one byte have scales, which their sums are multiplied by (multiply_scaled.cuh).
  static constexpr bool kScaled = sizeof(T) == 1;
  static constexpr int kDepth = kRowBytes / sizeof(T);  // steps of the depth in a stage
  static constexpr Major kMajorA = kGradient ? Major::kOuter : Major::kDepth;
  static constexpr Major kMajorB =
      kForm == Form::kTransposedProduct ? Major::kDepth : Major::kOuter;
  static constexpr int kBytesA = Shape::kM * kRowBytes, kBytesB = Shape::kN * kRowBytes;
  static constexpr int kStageBytes = kBytesA + kBytesB;
  /// What the copy engine brings, and who arrives when a stage is full.
  static constexpr int kFetchedBytes =
      (kGather == Gather::kA ? 0 : kBytesA) + (kGather == Gather::kB ? 0 : kBytesB);
  static constexpr bool kCopies = kGather != Gather::kNone || kScaled;  // by threads
  static constexpr int kFillers = kCopies ? 1 + kWarpgroup : 1;
  static constexpr int kStaging = 8 * Finish::kBuffers * kStagingBytes;
  static constexpr int kScales = kScaled ? Shape::kM + 4 : 0;  // of rows, of w's blocks; 16 bytes
  static constexpr int kStages = (kSharedBytes - kStaging - 12 * kMaxSegments - 1024) /
                                 (kStageBytes + kScales * static_cast<int>(sizeof(float)));
  /// Columns of the result that a tile covers: a gated one takes half of its sums from each half of
  /// w's columns.
  static constexpr int kColumns = Finish::kGated ? Shape::kN / 2 : Shape::kN;
  static_assert(kStages >= 3);
  static_assert(!kScaled ||
                kForm == Form::kTransposedProduct);  // wgmma reads bytes along the depth
  static_assert(Shape::kAcross == 1 || kGather != Gather::kA);
  static_assert(Shape::kDown == 1 || kGather != Gather::kB);
  static_assert(Shape::kAcross == 1 || kMajorA == Major::kDepth || Shape::kM % 128 == 0);
  static_assert(Shape::kDown == 1 || kMajorB == Major::kDepth || Shape::kN % 128 == 0);
};

template <class Kernel>
struct SharedMemory {
  struct Stage {
    alignas(1024) uint8_t a[Kernel::kBytesA];
    alignas(1024) uint8_t b[Kernel::kBytesB];
  };
  Stage stage[Kernel::kStages];
  alignas(1024) uint8_t staging[8][Kernel::Finish::kBuffers * kStagingBytes];
  float scales[Kernel::kStages][Kernel::kScaled ? Kernel::kScales : 1];
  Barrier full[Kernel::kStages], empty[Kernel::kStages];
  int start[kMaxSegments], count[kMaxSegments];
  int tiles_before[kMaxSegments + 1];
};

/// What a warpgroup sums up: 64 rows a block, spread over its threads.
template <class Kernel>
using Sums = float[Kernel::kRowBlocks][Kernel::kN / 2];

/// Says that this warp has read a stage, to all blocks that fill it.
template <class Kernel>
__device__ inline void release_stage(SharedMemory<Kernel>& shared, int stage) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Kernel::kCluster == 1) {
    if (lane == 0) shared.empty[stage].arrive();
  } else {
    if (lane < Kernel::kCluster) shared.empty[stage].arrive_in_block(lane);
  }
}

}  // namespace moiety::ops::sm90
