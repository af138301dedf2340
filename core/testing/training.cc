#include "core/testing/training.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include <moiety/master_weight.h>

namespace moiety::testing {

namespace {

int64_t count(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<float> cut(const std::vector<float>& all, int64_t begin, int64_t size) {
  return {all.begin() + begin, all.begin() + begin + size};
}

std::vector<float> rounded(std::vector<float> values, DType dtype) {
  for (float& x : values) {
    if (dtype == DType::kBF16) x = static_cast<float>(BFloat16(x));
    if (dtype == DType::kF16) x = static_cast<float>(Float16(x));
  }
  return values;
}

}  // namespace

Training::Training(const DeviceContext& context, const Optimizer& optimizer,
                   const TrainingOptions& options)
    : bench(context), options_(options) {
  const int64_t n = count(options.shape);
  for (uint32_t tensor = 0; tensor < 2; ++tensor) {
    const auto weights = normal(static_cast<size_t>(n), 10 + tensor);
    const auto slopes = normal(static_cast<size_t>(n), 20 + tensor, options.gradient);
    const int64_t first = options.shards ? n / 2 : n;
    for (const int64_t begin : {int64_t{0}, first}) {
      const int64_t size = begin == 0 ? first : n - first;
      if (begin > 0 && size == 0) continue;
      if (begin == first && !options.shards) continue;
      ParamSlice slice;
      slice.info.name = "w" + std::to_string(tensor);
      slice.info.shape = options.shape;
      slice.info.shard_begin = begin;
      slice.info.lr_scale = options.lr_scale;
      slice.info.decay_scale = options.decay_scale;
      const std::vector<int64_t> shape = options.shards ? std::vector{size} : options.shape;
      const auto make = [&](DType dtype, const std::vector<float>& values) {
        const TensorView t = bench.make(dtype, shape);
        bench.write(t, cut(values, begin, size));
        return t;
      };
      slice.value = make(options.value, weights);
      if (options.split) {
        slice.master_low = bench.make(DType::kU16, shape);
        split(cut(weights, begin, size), slice);
      } else if (options.value != DType::kF32) {
        slice.master = make(DType::kF32, weights);
      }
      gradients_.push_back(make(options.grad, rounded(slopes, options.rounded_gradient)));
      slice.grad = gradients_.back();
      for (const StateSpec& spec : optimizer.state(slice.info)) {
        const TensorView t = bench.make(spec.dtype, spec.shape.empty() ? shape : spec.shape);
        context.zero(t.ptr, static_cast<size_t>(t.numel() * size_of(t.dtype)));
        slice.state.push_back(t);
      }
      slices_.push_back(std::move(slice));
      if (n == 0) break;
    }
  }
}

void Training::bind(Optimizer& optimizer) {
  bench.set_step(state);
  bench.call([&](Exec& exec) { optimizer.bind(exec, slices_); });
}

void Training::launch(const Optimizer& optimizer) {
  bench.call([&](Exec& exec) { optimizer.step(exec); });
}

void Training::step(const Optimizer& optimizer) {
  bench.set_step(state);
  launch(optimizer);
  bench.context().synchronize();
  ++state.update;
}

TensorView Training::moved(const TensorView& tensor) {
  if (!tensor) return tensor;
  const std::vector<uint8_t> bytes = bench.bytes(tensor);
  const TensorView to =
      bench.make(tensor.dtype, std::span(tensor.shape.data(), static_cast<size_t>(tensor.rank)));
  bench.write(to, bytes.data(), bytes.size());
  const std::vector<uint8_t> poison(bytes.size(), 0xff);
  bench.write(tensor, poison.data(), poison.size());
  return to;
}

void Training::move() {
  for (size_t i = 0; i < slices_.size(); ++i) {
    ParamSlice& slice = slices_[i];
    slice.value = moved(slice.value);
    slice.master = moved(slice.master);
    slice.master_low = moved(slice.master_low);
    gradients_[i] = moved(gradients_[i]);
    slice.grad = gradients_[i];
    for (TensorView& kept : slice.state) kept = moved(kept);
  }
}

void Training::slope() {
  for (size_t i = 0; i < slices_.size(); ++i) {
    bench.write(gradients_[i], bench.floats(slices_[i].value));
  }
}

std::vector<float> Training::weights() {
  std::vector<float> all;
  for (const ParamSlice& slice : slices_) {
    const std::vector<float> one =
        slice.master_low ? joined(slice) : bench.floats(slice.master ? slice.master : slice.value);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

void Training::split(const std::vector<float>& weights, const ParamSlice& slice) {
  std::vector<BFloat16> values;
  std::vector<uint16_t> low;
  for (const float w : weights) {
    values.push_back(value_of_master<BFloat16>(w));
    low.push_back(low_of_master(w));
  }
  bench.write(slice.value, values.data(), 2 * values.size());
  bench.write(slice.master_low, low.data(), 2 * low.size());
}

std::vector<float> Training::joined(const ParamSlice& slice) {
  const std::vector<uint8_t> values = bench.bytes(slice.value),
                             lows = bench.bytes(slice.master_low);
  std::vector<float> weights(values.size() / 2);
  for (size_t i = 0; i < weights.size(); ++i) {
    BFloat16 value;
    uint16_t low = 0;
    std::memcpy(&value, &values[2 * i], 2);
    std::memcpy(&low, &lows[2 * i], 2);
    weights[i] = joined_master(value, low);
  }
  return weights;
}

std::vector<float> Training::values() {
  std::vector<float> all;
  for (const ParamSlice& slice : slices_) {
    const std::vector<float> one = bench.floats(slice.value);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

}  // namespace moiety::testing
