// Guarded memory, a step and an Exec on one device: what a single call of a component needs.
// Everything it hands out starts as 0xff bytes (NaN, -1) between canaries.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/device/arena.h"
#include "core/device/exec_impl.h"

namespace moiety::testing {

struct WorkbenchOptions {
  DType compute = DType::kF32;
  uint8_t poison = 0xff;  // what outputs hold before a call: an element that nobody writes shows it
};

class MOIETY_API Workbench {
 public:
  explicit Workbench(const DeviceContext& context, const WorkbenchOptions& options = {});

  /// Runs a component's call; its scratch is rewound afterwards, as in the core.
  void call(const std::function<void(Exec&)>& body);
  /// Forgets what forwards kept, so that the next one is a first one; the memory stays.
  void forget();
  Exec& exec() { return exec_; }
  Saved& saved() { return saved_; }
  const DeviceContext& context() const { return *impl_.context; }

  TensorView make(DType dtype, std::initializer_list<int64_t> shape);  ///< poisoned
  TensorView make(DType dtype, std::span<const int64_t> shape);
  /// Values, rounded to `dtype` (f32, bf16, f16).
  TensorView put(const std::vector<float>& values, std::initializer_list<int64_t> shape,
                 DType dtype = DType::kF32);
  TensorView put(const std::vector<int32_t>& values, std::initializer_list<int64_t> shape);
  TensorView put(const std::vector<int64_t>& values, std::initializer_list<int64_t> shape);
  TensorView put(const std::vector<uint8_t>& values, std::initializer_list<int64_t> shape);
  void write(const TensorView& tensor, const std::vector<float>& values);
  void write(const TensorView& tensor, const void* bytes, size_t size);

  /// The elements on the host; an empty view gives none.
  std::vector<float> floats(const TensorView& tensor);
  std::vector<int32_t> ints(const TensorView& tensor);
  std::vector<uint8_t> bytes(const TensorView& tensor);

  void set_step(const StepState& step);
  void set_rows(const RowMap& rows);
  /// Nobody wrote outside a tensor, scratch and saved ones included.
  bool intact() const;
  size_t scratch_bytes() const { return scratch_.peak_bytes(); }

 private:
  WorkbenchOptions options_;
  Arena memory_, scratch_, kept_;
  Exec::Impl impl_;
  Saved::Impl saved_impl_{kept_};
  TensorView step_, rows_;
  Exec exec_{&impl_};
  Saved saved_{&saved_impl_};
};

}  // namespace moiety::testing
