#include "core/bench/ground.h"

#include <cstring>

#include <moiety/ops.h>
#include <moiety/step_state.h>
#include <moiety/rows.cuh>

#include "core/ops/dtype.h"

namespace moiety::bench {

namespace {

constexpr int64_t kWidth = 64;  // elements a worker draws

/// A counter-based hash (splitmix64) of seed and element.
template <class T>
struct Draw {
  T* out;
  int64_t size;
  uint64_t key;
  float scale;
  MOIETY_HD void operator()(int64_t worker) const {
    const int64_t end = worker * kWidth + kWidth < size ? worker * kWidth + kWidth : size;
    for (int64_t i = worker * kWidth; i < end; ++i) {
      uint64_t z = key + static_cast<uint64_t>(i + 1) * 0x9e3779b97f4a7c15u;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      z ^= z >> 31;
      out[i] = static_cast<T>(scale * (static_cast<float>(z >> 40) * 0x1p-23f - 1.f));
    }
  }
};

struct State {
  StepState step;
  RowMap rows;
};

}  // namespace

Ground::Ground(DeviceContext& context, DType compute)
    : context_(context),
      memory_(context),
      scratch_(context),
      state_(context.device(), sizeof(State)) {
  const State state;
  context.copy(state_.data(), &state, sizeof state);
  context.synchronize();
  const auto* on_device = static_cast<const State*>(state_.data());
  impl_.context = &context;
  impl_.scratch = &scratch_;
  impl_.step = &on_device->step;
  impl_.rows = &on_device->rows;
  impl_.compute_dtype = compute;
}

TensorView Ground::random(DType dtype, std::initializer_list<int64_t> shape, uint32_t seed) {
  const TensorView out = make(dtype, shape);
  draw(out, seed, 1);
  return out;
}

void Ground::draw(const TensorView& to, uint32_t seed, float scale) {
  const int64_t n = to.numel();
  ops::with_float(to.dtype, "Ground::draw", [&](auto element) {
    using T = decltype(element);
    for_each_row(exec_, (n + kWidth - 1) / kWidth,
                 Draw<T>{to.data<T>(), n, (uint64_t{seed} + 1) * 0xd1342543de82ef95u, scale});
  });
}

TensorView Ground::put(const std::vector<int32_t>& values) {
  const TensorView out = make(DType::kI32, {static_cast<int64_t>(values.size())});
  context_.copy(out.ptr, values.data(), values.size() * sizeof(int32_t));
  context_.synchronize();
  return out;
}

std::vector<float> Ground::floats(const TensorView& tensor) {
  const Buffer wide(context_.device(), static_cast<size_t>(tensor.numel()) * sizeof(float));
  const TensorView copy = view_of(wide.data(), DType::kF32, {tensor.numel()}, context_.device());
  ops::copy(exec_, tensor.reshape({tensor.numel()}), copy);
  std::vector<float> host(static_cast<size_t>(tensor.numel()));
  context_.copy(host.data(), copy.ptr, host.size() * sizeof(float));
  context_.synchronize();
  return host;
}

void Ground::call(const std::function<void(Exec&)>& body) {
  const ArenaScope scope(scratch_);
  body(exec_);
}

}  // namespace moiety::bench
