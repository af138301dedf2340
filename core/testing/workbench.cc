#include "core/testing/workbench.h"

#include <cstring>

#include "core/base/check.h"

namespace moiety::testing {

namespace {

size_t bytes_of(const TensorView& tensor) {
  return static_cast<size_t>(tensor.numel() * size_of(tensor.dtype));
}

template <class T>
void encode(const std::vector<float>& values, std::vector<uint8_t>& bytes) {
  bytes.resize(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T x(values[i]);
    std::memcpy(&bytes[i * sizeof(T)], &x, sizeof(T));
  }
}

template <class T>
void decode(const std::vector<uint8_t>& bytes, std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    T x;
    std::memcpy(&x, &bytes[i * sizeof(T)], sizeof(T));
    values[i] = static_cast<float>(x);
  }
}

}  // namespace

Workbench::Workbench(const DeviceContext& context, const WorkbenchOptions& options)
    : options_(options),
      memory_(context, Arena::Guard::kOn),
      scratch_(context, Arena::Guard::kOn),
      kept_(context, Arena::Guard::kOn) {
  const auto size = [](size_t bytes) { return static_cast<int64_t>(bytes); };
  step_ = memory_.make(DType::kU8, {size(sizeof(StepState))});
  rows_ = memory_.make(DType::kU8, {size(sizeof(RowMap))});
  impl_.context = const_cast<DeviceContext*>(&context);
  impl_.scratch = &scratch_;
  impl_.step = static_cast<const StepState*>(step_.ptr);
  impl_.rows = static_cast<const RowMap*>(rows_.ptr);
  impl_.compute_dtype = options.compute;
  set_step({});
  set_rows({});
}

void Workbench::call(const std::function<void(Exec&)>& body) {
  const ArenaScope scope(scratch_);
  body(exec_);
}

void Workbench::forget() {
  saved_impl_.tensors.clear();
  kept_.rewind();
}

TensorView Workbench::make(DType dtype, std::span<const int64_t> shape) {
  const TensorView tensor = memory_.make(dtype, shape);
  const std::vector<uint8_t> poison(bytes_of(tensor), options_.poison);
  write(tensor, poison.data(), poison.size());
  return tensor;
}
TensorView Workbench::make(DType dtype, std::initializer_list<int64_t> shape) {
  return make(dtype, std::span<const int64_t>(shape.begin(), shape.size()));
}

TensorView Workbench::put(const std::vector<float>& values, std::initializer_list<int64_t> shape,
                          DType dtype) {
  const TensorView tensor = make(dtype, shape);
  write(tensor, values);
  return tensor;
}
TensorView Workbench::put(const std::vector<int32_t>& values,
                          std::initializer_list<int64_t> shape) {
  const TensorView tensor = make(DType::kI32, shape);
  write(tensor, values.data(), values.size() * sizeof(int32_t));
  return tensor;
}
TensorView Workbench::put(const std::vector<int64_t>& values,
                          std::initializer_list<int64_t> shape) {
  const TensorView tensor = make(DType::kI64, shape);
  write(tensor, values.data(), values.size() * sizeof(int64_t));
  return tensor;
}
TensorView Workbench::put(const std::vector<uint8_t>& values,
                          std::initializer_list<int64_t> shape) {
  const TensorView tensor = make(DType::kU8, shape);
  write(tensor, values.data(), values.size());
  return tensor;
}

void Workbench::write(const TensorView& tensor, const std::vector<float>& values) {
  std::vector<uint8_t> bytes;
  if (tensor.dtype == DType::kBF16) {
    encode<BFloat16>(values, bytes);
  } else if (tensor.dtype == DType::kF16) {
    encode<Float16>(values, bytes);
  } else {
    encode<float>(values, bytes);
  }
  write(tensor, bytes.data(), bytes.size());
}

void Workbench::write(const TensorView& tensor, const void* bytes, size_t size) {
  MOIETY_CHECK(size == bytes_of(tensor), "workbench: {} bytes for a tensor of {}", size,
               bytes_of(tensor));
  if (size > 0) context().copy(tensor.ptr, bytes, size);
  context().synchronize();
}

std::vector<uint8_t> Workbench::bytes(const TensorView& tensor) {
  if (!tensor) return {};
  std::vector<uint8_t> bytes(bytes_of(tensor));
  if (!bytes.empty()) context().copy(bytes.data(), tensor.ptr, bytes.size());
  context().synchronize();
  return bytes;
}

std::vector<float> Workbench::floats(const TensorView& tensor) {
  if (!tensor) return {};
  const std::vector<uint8_t> raw = bytes(tensor);
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  if (tensor.dtype == DType::kBF16) {
    decode<BFloat16>(raw, values);
  } else if (tensor.dtype == DType::kF16) {
    decode<Float16>(raw, values);
  } else {
    decode<float>(raw, values);
  }
  return values;
}

std::vector<int32_t> Workbench::ints(const TensorView& tensor) {
  const std::vector<uint8_t> raw = bytes(tensor);
  std::vector<int32_t> values(raw.size() / sizeof(int32_t));
  if (!raw.empty()) std::memcpy(values.data(), raw.data(), raw.size());
  return values;
}

void Workbench::set_step(const StepState& step) { write(step_, &step, sizeof step); }
void Workbench::set_rows(const RowMap& rows) { write(rows_, &rows, sizeof rows); }

void Workbench::leave_guards_off() {
  scratch_.set_guard(Arena::Guard::kOff);
  kept_.set_guard(Arena::Guard::kOff);
}

bool Workbench::intact() const { return memory_.intact() && scratch_.intact() && kept_.intact(); }

}  // namespace moiety::testing
