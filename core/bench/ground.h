// What a call of the core needs to run outside a training: memory, a step, an Exec.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>

#include "core/device/arena.h"
#include "core/device/exec_impl.h"

namespace moiety::bench {

class MOIETY_API Ground {
 public:
  Ground(DeviceContext& context, DType compute);

  TensorView make(DType dtype, std::initializer_list<int64_t> shape) {
    return memory_.make(dtype, shape);
  }
  /// Uniform in (-1, 1), drawn on the device from (seed, element). Never zeros: those draw less
  /// power and run faster.
  TensorView random(DType dtype, std::initializer_list<int64_t> shape, uint32_t seed);
  /// The same, times `scale`, into a contiguous tensor that is there.
  void draw(const TensorView& to, uint32_t seed, float scale);
  TensorView put(const std::vector<int32_t>& values);
  /// Of f32, bf16 or f16; waits for the device.
  std::vector<float> floats(const TensorView& tensor);

  /// Runs `body`; its scratch memory is rewound afterwards, as in the core.
  void call(const std::function<void(Exec&)>& body);
  Exec& exec() { return exec_; }
  Arena& memory() { return memory_; }
  DeviceContext& context() { return context_; }

 private:
  DeviceContext& context_;
  Arena memory_, scratch_;
  Buffer state_;  // StepState, RowMap
  Exec::Impl impl_;
  Exec exec_{&impl_};
};

}  // namespace moiety::bench
