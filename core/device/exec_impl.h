// What stands behind Exec and Saved. The core fills it; plugins never see it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <moiety/exec.h>

#include "core/device/arena.h"

namespace moiety {

class PhaseTimer;
class RoutingTap;

/// MOIETY_SYNC_CHECK=1 in the environment.
MOIETY_API bool wants_sync_check();

/// Parts of a model whose products with parameters run in FP8 (fp8.* of the configuration).
struct Fp8Parts {
  bool dense = false, experts = false;
};

struct Exec::Impl {
  DeviceContext* context = nullptr;
  Arena* scratch = nullptr;
  const StepState* step = nullptr;  // device
  const RowMap* rows = nullptr;     // device; of the micro-batch in flight
  DType compute_dtype = DType::kF32;
  uint64_t seed = 1;
  int64_t layer = 0;
  bool deterministic = true;
  Fp8Parts fp8_parts = {};
  bool fp8 = false;                      // such a part computes now: core/ops/fp8_products.h
  bool sync_check = wants_sync_check();  // wait after every call of a component
  std::vector<std::pair<uint32_t, ConstTensorView>> bound = {};  // purpose -> a test's own noise
  std::vector<Buffer> uploads = {};
  PhaseTimer* phases = nullptr;   // core/device/phase_timer.h
  RoutingTap* routing = nullptr;  // core/model/routing_tap.h
};

struct Saved::Impl {
  explicit Impl(Arena& memory) : arena(&memory) {}
  Arena* arena;  // of the micro-batch
  std::vector<std::pair<std::string, TensorView>> tensors = {};
};

}  // namespace moiety
