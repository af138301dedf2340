// What every call of a layer sets: its number for the noise, and a level of scratch memory.
#pragma once

#include <cstdint>

#include "core/device/exec_impl.h"

namespace moiety {

/// The layer whose noise is drawn while this lives. Scratch made meanwhile is given back.
class LayerScope {
 public:
  LayerScope(const Exec& exec, int64_t layer)
      : impl_(exec.impl()), before_(impl_.layer), scratch_(*impl_.scratch) {
    impl_.layer = layer;
  }
  ~LayerScope() { impl_.layer = before_; }
  LayerScope(const LayerScope&) = delete;
  LayerScope& operator=(const LayerScope&) = delete;

 private:
  Exec::Impl& impl_;
  int64_t before_;
  ArenaScope scratch_;
};

/// Noise of this micro-batch's rows while this lives.
class RowScope {
 public:
  RowScope(const Exec& exec, const RowMap* rows) : impl_(exec.impl()), before_(impl_.rows) {
    if (rows != nullptr) impl_.rows = rows;
  }
  ~RowScope() { impl_.rows = before_; }
  RowScope(const RowScope&) = delete;
  RowScope& operator=(const RowScope&) = delete;

 private:
  Exec::Impl& impl_;
  const RowMap* before_;
};

/// Products with parameters run in FP8, or do not, while this lives.
class Fp8Scope {
 public:
  Fp8Scope(const Exec& exec, bool on) : impl_(exec.impl()), before_(impl_.fp8) { impl_.fp8 = on; }
  ~Fp8Scope() { impl_.fp8 = before_; }
  Fp8Scope(const Fp8Scope&) = delete;
  Fp8Scope& operator=(const Fp8Scope&) = delete;

 private:
  Exec::Impl& impl_;
  bool before_;
};

}  // namespace moiety
