// What a component may use while it runs. Concrete and non-virtual on purpose: new methods can be
// added without breaking compiled plugins.
#pragma once

#include <cstdint>
#include <string_view>

#include <moiety/rng.h>
#include <moiety/tensor.h>

namespace moiety {

class MOIETY_API Exec {
 public:
  struct Impl;
  explicit Exec(Impl* impl) : impl_(impl) {}

  Device device() const;
  bool is_cuda() const { return device().type == DeviceType::kCuda; }
  DType compute_dtype() const;    ///< of activations and of matrices' compute copies
  void* stream() const;           ///< cudaStream_t, or nullptr on the CPU
  void* cublas() const;           ///< cublasHandle_t bound to stream(), or nullptr
  const StepState* step() const;  ///< device pointer, for kernels; fixed for the whole run
  /// Noise for a functor. `row_id` (i64 [rows], device) names rows that are not this call's tokens.
  Rng rng(RngKey key, ConstTensorView row_id = {}) const;
  void uniform(RngKey key, TensorView out /*f32 [T, W]*/);
  /// Uninitialised memory, valid until the current forward, backward or step returns.
  TensorView scratch(DType dtype, std::initializer_list<int64_t> shape);
  /// Copies host bytes to memory on the device that lives as long as the run: tables of
  /// Optimizer::bind. Not while a graph is captured.
  const void* upload(const void* host, size_t bytes);

  /// fn(context, row) for every row, spread over the CPU's threads. See rows.cuh.
  using RowFn = void (*)(const void* context, int64_t row);
  void cpu_rows(int64_t rows, RowFn fn, const void* context) const;

  Impl& impl() const { return *impl_; }  ///< for the core

 private:
  Impl* impl_;
};

/// What one forward leaves for its backward, by name. Several calls may be in flight, each with its
/// own; a recomputation fills a fresh one.
class MOIETY_API Saved {
 public:
  struct Impl;
  explicit Saved(Impl* impl) : impl_(impl) {}
  TensorView keep(std::string_view name, DType dtype, std::initializer_list<int64_t> shape);
  ConstTensorView operator[](std::string_view name) const;

 private:
  Impl* impl_;
};

}  // namespace moiety
