// Trainable tensors: how a component declares them and the handles through which it sees them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <moiety/tensor.h>

namespace moiety {

/// kNormal: deviation `model.init_std`, divided by sqrt(2 * layers) with `residual_output`; where
/// init_std is 0, 1 / sqrt(fan_in). kUniform: in +-1 / sqrt(fan_in) (torch's Linear).
enum class Init : uint8_t { kZeros, kOnes, kNormal, kUniform };
enum class GradMode : uint8_t { kNone, kOverwrite, kAccumulate };

struct ParamSpec {
  std::string name;            // within the component: "w_in"
  std::vector<int64_t> shape;  // of this rank's experts; expert parameters are [L, ...]
  Init init = Init::kNormal;
  int64_t fan_in = 1;
  bool residual_output = false;   // its product is added to the residual stream
  bool decay = true;              // false for biases and norms
  bool keep_f32 = false;          // value() is f32 whatever the compute dtype: biases, norms
  int tensor_parallel_axis = -1;  // -1 = a copy on every rank
};

struct Format {
  DType dtype = DType::kF32;
  bool transposed = false;  // seen as [L, K, rest]: each matrix turned to [rest, K]
};

struct ComputeCopy {
  ConstTensorView values;
  ConstTensorView scales;  // f32, only for f8
};

class MOIETY_API Parameter {
 public:
  struct Impl;
  explicit Parameter(Impl* impl) : impl_(impl) {}
  TensorView value() const;  ///< compute dtype, or f32 with keep_f32; local shape
  /// Contiguous; empty with GradMode::kNone. f32, or with Declarations::compute_gradient perhaps
  /// value()'s dtype; then always with GradMode::kOverwrite.
  TensorView grad() const;
  GradMode grad_mode() const;  ///< kOverwrite in the first micro-batch of a step: no memset needed
  /// Kept fresh by the core after each update. A format is first asked for outside graph capture.
  ComputeCopy compute_copy(Format format) const;
  Impl& impl() const { return *impl_; }  ///< for the core

 private:
  Impl* impl_;
};

class MOIETY_API Params {
 public:
  struct Impl;
  explicit Params(Impl* impl) : impl_(impl) {}
  Parameter operator[](std::string_view name) const;  ///< throws Error with the declared names

 private:
  Impl* impl_;
};

class MOIETY_API Declarations {
 public:
  struct Impl;
  explicit Declarations(Impl* impl) : impl_(impl) {}
  void parameter(const ParamSpec& spec);
  /// The gradient of the declared parameter `name` may be in the compute dtype: its backward writes
  /// it once a call, through ops of the core or by grad().dtype. Without this it is f32. Throws
  /// Error on a name that was not declared.
  void compute_gradient(std::string_view name);
  /// Zero-filled, saved in checkpoints, never seen by the optimizer. params["name"].value().
  void buffer(std::string_view name, DType dtype, std::initializer_list<int64_t> shape);

 private:
  Impl* impl_;
};

}  // namespace moiety
