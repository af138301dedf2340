// A stack of tensors on a device, in one piece where it can grow in place. The same calls give the
// same addresses each time, which is what lets a step be captured in a graph after a warm-up run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/device/device.h"

namespace moiety {

class MOIETY_API Arena {
 public:
  struct Mark {
    size_t block = 0, offset = 0;
    size_t used = 0;  // bytes of tensors up to here
  };
  enum class Guard : uint8_t { kOff, kOn };  // kOn: NaN / -1 fill and canaries, for the kit

  explicit Arena(const DeviceContext& context, Guard guard = Guard::kOff);
  ~Arena();
  Arena(Arena&&) noexcept;

  /// Uninitialised (0xff bytes with Guard::kOn), 256-byte aligned. Grows outside capture only:
  /// throws while a graph is captured and no block fits.
  TensorView make(DType dtype, std::span<const int64_t> shape);
  TensorView make(DType dtype, std::initializer_list<int64_t> shape);
  Mark mark() const;
  void rewind(Mark to);
  void rewind() { rewind(Mark()); }  ///< to the beginning
  /// With Guard::kOn: nobody wrote outside a tensor of this arena. Synchronises.
  bool intact() const;
  /// The most that was in use at a time, and what the arena holds for it.
  size_t peak_bytes() const;
  size_t reserved_bytes() const;
  /// A block for the next `bytes` in a row, of exactly that size: for a known plan.
  void reserve(size_t bytes);
  static size_t padded(size_t bytes);  ///< what a tensor of so many bytes takes
  /// For the tensors made from now on; those made before keep theirs.
  void set_guard(Guard guard);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Rewinds an arena to where it was.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.rewind(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

}  // namespace moiety
