// What the tests of the transformer's ops share: parameters made by hand, references in float64,
// a second Exec with another number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/model/parameter_table.h"
#include "tests/unit/device_test.h"
#include "tests/unit/reference.h"

namespace moiety {

class OpTest : public DeviceTest {
 protected:
  using Vector = reference::Vector;

  static size_t count(int64_t n) { return static_cast<size_t>(n); }
  /// Normal values, rounded to the storage type: what both the op and the reference see.
  TensorView random(std::initializer_list<int64_t> shape, uint32_t seed, float deviation = 1) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return put(normal(count(n), seed, deviation), dtype(), shape);
  }
  TensorView random_f32(std::initializer_list<int64_t> shape, uint32_t seed) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return put(normal(count(n), seed), DType::kF32, shape);
  }
  Vector wide(const TensorView& t) { return reference::widen(get(t)); }

  /// A parameter with a gradient full of `before`.
  Parameter::Impl parameter(TensorView value, GradMode mode, float before = 0) {
    Parameter::Impl p;
    p.value = value;
    p.mode = mode;
    const std::vector<float> grad(count(value.numel()), before);
    p.grad = make(DType::kF32, {1});
    if (value.rank == 1) p.grad = put(grad, DType::kF32, {value.dim(0)});
    if (value.rank == 2) p.grad = put(grad, DType::kF32, {value.dim(0), value.dim(1)});
    return p;
  }

  void near(const TensorView& got, const Vector& expected, double slack = 1) {
    EXPECT_LE(worst(get(got), reference::narrow(expected)), tolerance() * slack);
  }

  /// Runs `work` with 1 and with 2 threads, twice each on a CPU; `result` has the same bits.
  template <class Work>
  void expect_same_bits(const TensorView& result, const Work& work) {
    std::vector<std::vector<float>> seen;
    for (const int threads : {1, 2, 2}) {
      DeviceContext context(Device{GetParam().device, 0}, threads);
      Exec::Impl impl{};
      impl.context = GetParam().device == DeviceType::kCpu ? &context : context_.get();
      impl.scratch = scratch_.get();
      impl.step = impl_.step;
      impl.rows = impl_.rows;
      impl.compute_dtype = dtype();
      Exec exec(&impl);
      work(exec);
      seen.push_back(get(result));
    }
    EXPECT_EQ(std::memcmp(seen[0].data(), seen[1].data(), seen[0].size() * sizeof(float)), 0);
    EXPECT_EQ(std::memcmp(seen[1].data(), seen[2].data(), seen[1].size() * sizeof(float)), 0);
  }
};

}  // namespace moiety
