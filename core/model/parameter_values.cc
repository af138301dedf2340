// How weights travel between host and device.
#include <cstring>

#include <moiety/master_weight.h>

#include "core/base/check.h"
#include "core/model/parameter_table.h"
#include "core/ops/master_values.h"

namespace moiety {

namespace {

std::vector<uint8_t> download(const DeviceContext& context, const TensorView& tensor, int64_t begin,
                              int64_t count) {
  const int64_t size = size_of(tensor.dtype);
  std::vector<uint8_t> bytes(static_cast<size_t>(count * size));
  context.copy(bytes.data(), static_cast<const char*>(tensor.ptr) + begin * size, bytes.size());
  context.synchronize();
  return bytes;
}

void widen(const std::vector<uint8_t>& bytes, DType dtype, float* to) {
  const auto convert = [&](auto x) {
    for (size_t i = 0; i < bytes.size() / sizeof x; ++i) {
      std::memcpy(&x, &bytes[i * sizeof x], sizeof x);
      to[i] = static_cast<float>(x);
    }
  };
  switch (dtype) {
    case DType::kF32: return convert(float{});
    case DType::kBF16: return convert(BFloat16{});
    case DType::kF16: return convert(Float16{});
    case DType::kI32: return convert(int32_t{});
    case DType::kI64: return convert(int64_t{});
    case DType::kU8: return convert(uint8_t{});
    default: throw Error(fmt::format("cannot read a tensor of {}", name_of(dtype)));
  }
}

/// The bytes of f(value) for every value.
template <class F>
std::vector<uint8_t> bytes_of(const std::vector<float>& values, const F& f) {
  using T = decltype(f(0.f));
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T x = f(values[i]);
    std::memcpy(&bytes[i * sizeof x], &x, sizeof x);
  }
  return bytes;
}

}  // namespace

std::vector<float> ParameterTable::read(const TensorView& tensor) const {
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  widen(download(*context_, tensor, 0, tensor.numel()), tensor.dtype, values.data());
  return values;
}

std::vector<float> ParameterTable::read(const TableEntry& entry) const {
  std::vector<float> values(static_cast<size_t>(entry.parameter.value.numel()));
  read_part(entry, 0, entry.parameter.value.numel(), values.data());
  return values;
}

void ParameterTable::read_part(const TableEntry& entry, int64_t begin, int64_t count,
                               float* to) const {
  const TensorView& weights = entry.authoritative();
  const std::vector<uint8_t> bytes = download(*context_, weights, begin, count);
  if (!entry.master_low) return widen(bytes, weights.dtype, to);
  const std::vector<uint8_t> lows = download(*context_, entry.master_low, begin, count);
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    BFloat16 value;
    uint16_t low = 0;
    std::memcpy(&value, &bytes[i * sizeof value], sizeof value);
    std::memcpy(&low, &lows[i * sizeof low], sizeof low);
    to[i] = joined_master(value, low);
  }
}

void ParameterTable::write(TableEntry& entry, const std::vector<float>& values) {
  const int64_t n = entry.parameter.value.numel();
  MOIETY_CHECK(static_cast<int64_t>(values.size()) == n,
               "{}: {} values were given for a tensor of {} elements", entry.name, values.size(),
               n);
  write_part(entry, 0, values);
  Exec exec(copy_exec_.get());
  if (entry.master) ops::master_values(exec, entry.master, entry.parameter.value);
  moiety::refresh_copies(entry.parameter);
  context_->synchronize();
}

void ParameterTable::upload(const TensorView& to, int64_t begin,
                            const std::vector<uint8_t>& bytes) const {
  context_->copy(static_cast<char*>(to.ptr) + begin * size_of(to.dtype), bytes.data(),
                 bytes.size());
  context_->synchronize();
}

/// Elements from `begin` on of the weights; a value beside an f32 master is refreshed later.
void ParameterTable::write_part(TableEntry& entry, int64_t begin,
                                const std::vector<float>& values) {
  const TensorView& to = entry.authoritative();
  if (entry.master_low) {
    upload(to, begin, bytes_of(values, value_of_master<BFloat16>));
    upload(entry.master_low, begin, bytes_of(values, low_of_master));
    return;
  }
  switch (to.dtype) {
    case DType::kF32: return upload(to, begin, bytes_of(values, value_of_master<float>));
    case DType::kBF16: return upload(to, begin, bytes_of(values, value_of_master<BFloat16>));
    case DType::kF16: return upload(to, begin, bytes_of(values, value_of_master<Float16>));
    default:
      throw Error(fmt::format("{}: values of {} cannot be written", entry.name, name_of(to.dtype)));
  }
}

}  // namespace moiety
