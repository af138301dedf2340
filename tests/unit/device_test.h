// One test body for both devices: the CUDA half skips where there is no GPU, and fails instead
// with MOIETY_REQUIRE_GPU=1.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "core/device/arena.h"
#include "core/device/exec_impl.h"

namespace moiety {

struct DeviceCase {
  DeviceType device = DeviceType::kCpu;
  DType dtype = DType::kF32;
  double tolerance = 1e-5;
};

inline void PrintTo(const DeviceCase& c, std::ostream* out) {
  *out << (c.device == DeviceType::kCpu ? "cpu " : "cuda ") << name_of(c.dtype);
}

inline std::string case_name(const testing::TestParamInfo<DeviceCase>& info) {
  return std::string(info.param.device == DeviceType::kCpu ? "cpu_" : "cuda_") +
         name_of(info.param.dtype);
}

/// A device, an arena and an Exec. Tensors go to the device and back as std::vector.
class DeviceTest : public testing::TestWithParam<DeviceCase> {
 protected:
  void SetUp() override {
    if (GetParam().device == DeviceType::kCuda) {
      const std::string why = cuda_unavailable();
      if (!why.empty()) {
        const char* required = std::getenv("MOIETY_REQUIRE_GPU");
        if (required != nullptr && std::string(required) == "1") FAIL() << why;
        GTEST_SKIP() << why;
      }
    }
    context_ = std::make_unique<DeviceContext>(Device{GetParam().device, 0});
    arena_ = std::make_unique<Arena>(*context_, Arena::Guard::kOn);
    scratch_ = std::make_unique<Arena>(*context_, Arena::Guard::kOn);
    step_ = on_device(StepState{});
    rows_ = on_device(RowMap{});
    impl_.context = context_.get();
    impl_.scratch = scratch_.get();
    impl_.step = static_cast<const StepState*>(step_.ptr);
    impl_.rows = static_cast<const RowMap*>(rows_.ptr);
    impl_.compute_dtype = GetParam().dtype;
  }
  void TearDown() override {
    if (arena_ == nullptr) return;
    EXPECT_TRUE(arena_->intact()) << "wrote outside a tensor";
    EXPECT_TRUE(scratch_->intact()) << "wrote outside a scratch tensor";
  }

  DType dtype() const { return GetParam().dtype; }
  double tolerance() const { return GetParam().tolerance; }

  TensorView make(DType dtype, std::initializer_list<int64_t> shape) {
    return arena_->make(dtype, shape);
  }
  /// Uploads values, rounded to `dtype` (f32, bf16, f16).
  TensorView put(const std::vector<float>& values, DType dtype,
                 std::initializer_list<int64_t> shape) {
    TensorView t = make(dtype, shape);
    std::vector<uint8_t> bytes(values.size() * static_cast<size_t>(size_of(dtype)));
    for (size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::kF32) std::memcpy(&bytes[i * 4], &values[i], 4);
      if (dtype == DType::kBF16) {
        const BFloat16 x(values[i]);
        std::memcpy(&bytes[i * 2], &x, 2);
      }
      if (dtype == DType::kF16) {
        const Float16 x(values[i]);
        std::memcpy(&bytes[i * 2], &x, 2);
      }
    }
    upload(t, bytes.data(), bytes.size());
    return t;
  }
  TensorView put(const std::vector<int32_t>& values, std::initializer_list<int64_t> shape) {
    TensorView t = make(DType::kI32, shape);
    upload(t, values.data(), values.size() * 4);
    return t;
  }
  TensorView put(const std::vector<uint8_t>& values, std::initializer_list<int64_t> shape) {
    TensorView t = make(DType::kU8, shape);
    upload(t, values.data(), values.size());
    return t;
  }
  TensorView ints(const std::vector<int32_t>& values, std::initializer_list<int64_t> shape) {
    return put(values, shape);
  }
  /// The elements as floats, whatever the dtype. Contiguous views only.
  std::vector<float> get(const TensorView& t) {
    const auto n = static_cast<size_t>(t.numel());
    std::vector<uint8_t> bytes(n * static_cast<size_t>(size_of(t.dtype)));
    download(bytes.data(), t, bytes.size());
    std::vector<float> values(n);
    for (size_t i = 0; i < n; ++i) {
      if (t.dtype == DType::kF32) std::memcpy(&values[i], &bytes[i * 4], 4);
      if (t.dtype == DType::kBF16) {
        BFloat16 x;
        std::memcpy(&x, &bytes[i * 2], 2);
        values[i] = x;
      }
      if (t.dtype == DType::kF16) {
        Float16 x;
        std::memcpy(&x, &bytes[i * 2], 2);
        values[i] = x;
      }
      if (t.dtype == DType::kI32) {
        int32_t x;
        std::memcpy(&x, &bytes[i * 4], 4);
        values[i] = static_cast<float>(x);
      }
    }
    return values;
  }
  std::vector<int32_t> get_i32(const TensorView& t) {
    std::vector<int32_t> values(static_cast<size_t>(t.numel()));
    download(values.data(), t, values.size() * 4);
    return values;
  }
  template <class T>
  TensorView on_device(const T& value) {
    TensorView t = make(DType::kU8, {static_cast<int64_t>(sizeof(T))});
    upload(t, &value, sizeof(T));
    return t;
  }
  void set_step(const StepState& step) { upload(step_, &step, sizeof step); }

  static std::vector<float> normal(size_t n, uint32_t seed, float deviation = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution(0, deviation);
    std::vector<float> values(n);
    for (float& x : values) x = distribution(random);
    return values;
  }

  void upload(const TensorView& t, const void* host, size_t bytes) {
    context_->copy(t.ptr, host, bytes);
    context_->synchronize();
  }
  void download(void* host, const TensorView& t, size_t bytes) {
    context_->copy(host, t.ptr, bytes);
    context_->synchronize();
  }

  std::unique_ptr<DeviceContext> context_;
  std::unique_ptr<Arena> arena_, scratch_;
  TensorView step_, rows_;
  Exec::Impl impl_;
  Exec exec_{&impl_};
};

/// CPU and CUDA, f32 alone.
inline const auto kF32Devices =
    testing::Values(DeviceCase{DeviceType::kCpu}, DeviceCase{DeviceType::kCuda});
/// CPU and CUDA in every float type, with the tolerance of each (relative to the largest value).
inline const auto kFloatDevices =
    testing::Values(DeviceCase{DeviceType::kCpu, DType::kF32, 1e-5},
                    DeviceCase{DeviceType::kCpu, DType::kF16, 1e-2},
                    DeviceCase{DeviceType::kCpu, DType::kBF16, 4e-2},
                    DeviceCase{DeviceType::kCuda, DType::kF32, 1e-5},
                    DeviceCase{DeviceType::kCuda, DType::kF16, 1e-2},
                    DeviceCase{DeviceType::kCuda, DType::kBF16, 4e-2});

/// The largest difference, over the largest magnitude of `expected` (at least 1).
inline double worst(const std::vector<float>& got, const std::vector<float>& expected) {
  double top = 1, difference = got.size() == expected.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    top = std::max(top, std::abs(static_cast<double>(expected[i])));
    const double d = std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
    difference = d <= difference ? difference : d;  // NaN stays
  }
  return difference / top;
}

}  // namespace moiety
