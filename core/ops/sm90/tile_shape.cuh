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

/// How the two consumer warpgroups work: on halves of one tile, or each on a tile of its own, so
/// that one multiplies while the other stores.
enum class Sharing : uint8_t { kHalves, kAlternate };

/// Which operand's rows are named by an index, and so fetched by threads instead of the copy
/// engine.
enum class Gather : uint8_t { kNone, kA, kB };

inline constexpr int kWarpgroup = 128;
inline constexpr int kThreads = 3 * kWarpgroup;  // one warpgroup fetches, two multiply
inline constexpr int kDepth = kBoxWidth;         // steps of the depth in a stage
inline constexpr int kMaxSegments = 1024;
inline constexpr int kStagingBytes = 16 * 128;   // 16 rows of a warp's results
inline constexpr int kSharedBytes = 227 * 1024;  // what a block can have

/// kM x kN sums a tile. Blocks that stand side by side, kDown in a column or kAcross in a row,
/// share what they both need: each fetches half of it for both.
template <int kM_, int kN_, Sharing kSharing, int kDown_ = 1, int kAcross_ = 1>
struct TileShape {
  static constexpr int kM = kM_, kN = kN_, kDown = kDown_, kAcross = kAcross_;
  static constexpr int kCluster = kDown * kAcross;
  static constexpr bool kAlternate = kSharing == Sharing::kAlternate;
  static constexpr int kConsumerWarps = kAlternate ? 4 : 8;          // of one tile
  static constexpr int kRowBlocks = kM / 64 / (kAlternate ? 1 : 2);  // of one warpgroup
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
  static constexpr Major kMajorA = kGradient ? Major::kOuter : Major::kDepth;
  static constexpr Major kMajorB =
      kForm == Form::kTransposedProduct ? Major::kDepth : Major::kOuter;
  static constexpr int kBytesA = Shape::kM * kDepth * 2, kBytesB = Shape::kN * kDepth * 2;
  static constexpr int kStageBytes = kBytesA + kBytesB;
  /// What the copy engine brings, and who arrives when a stage is full.
  static constexpr int kFetchedBytes =
      (kGather == Gather::kA ? 0 : kBytesA) + (kGather == Gather::kB ? 0 : kBytesB);
  static constexpr int kFillers = kGather == Gather::kNone ? 1 : 1 + kWarpgroup;
  static constexpr int kStaging = 8 * Finish::kBuffers * kStagingBytes;
  static constexpr int kStages = (kSharedBytes - kStaging - 12 * kMaxSegments - 1024) / kStageBytes;
  /// Columns of the result that a tile covers: a gated one takes half of its sums from each half of
  /// w's columns.
  static constexpr int kColumns = Finish::kGated ? Shape::kN / 2 : Shape::kN;
  static_assert(kStages >= 3);
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
  Barrier full[Kernel::kStages], empty[Kernel::kStages];
  Barrier turn[2];  // of the warpgroups, where they alternate
  int start[kMaxSegments], count[kMaxSegments];
  int tiles_before[kMaxSegments + 1];
};

}  // namespace moiety::ops::sm90
