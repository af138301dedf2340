// Exec and Saved: what a component sees of the device, the step and the arenas.
#include <moiety/exec.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "core/base/check.h"
#include "core/device/context_impl.h"
#include "core/device/cpu_pool.h"
#include "core/device/exec_impl.h"

namespace moiety {

bool wants_sync_check() {
  const char* value = std::getenv("MOIETY_SYNC_CHECK");
  return value != nullptr && std::string_view(value) == "1";
}

Device Exec::device() const { return impl_->context->device(); }
DType Exec::compute_dtype() const { return impl_->compute_dtype; }
void* Exec::stream() const { return impl_->context->stream(); }
void* Exec::cublas() const { return impl_->context->cublas(); }
const StepState* Exec::step() const { return impl_->step; }

Rng Exec::rng(RngKey key, ConstTensorView row_id) const {
  uint64_t k = impl_->seed;  // splitmix64 over seed, layer and purpose
  for (uint64_t word : {static_cast<uint64_t>(impl_->layer), uint64_t{key.purpose}}) {
    k = (k ^ word) + 0x9e3779b97f4a7c15u;
    k = (k ^ (k >> 30)) * 0xbf58476d1ce4e5b9u;
    k = (k ^ (k >> 27)) * 0x94d049bb133111ebu;
    k ^= k >> 31;
  }
  Rng rng;
  rng.key = k;
  rng.step = impl_->step;
  rng.rows = impl_->rows;
  if (row_id) rng.row_id = row_id.data<int64_t>();
  for (const auto& [purpose, noise] : impl_->bound) {
    if (purpose != key.purpose) continue;
    rng.bound = noise.data<float>();
    rng.width = noise.dim(-1);
  }
  return rng;
}

TensorView Exec::scratch(DType dtype, std::initializer_list<int64_t> shape) {
  return impl_->scratch->make(dtype, shape);
}

const void* Exec::upload(const void* host, size_t bytes) {
  MOIETY_CHECK(!impl_->context->impl().capturing(),
               "upload: {} bytes while a graph is captured; upload tables in bind()", bytes);
  Buffer& buffer = impl_->uploads.emplace_back(device(), std::max<size_t>(bytes, 1));
  impl_->context->copy(buffer.data(), host, bytes);
  impl_->context->synchronize();
  return buffer.data();
}

const ThreadPool& cpu_pool(const Exec& exec) {
  const DeviceContext& context = *exec.impl().context;
  const ThreadPool* pool = context.impl().pool();
  MOIETY_CHECK(pool != nullptr, "CPU threads were asked for, but the tensors lie on {}",
               context.description());
  return *pool;
}

void Exec::cpu_rows(int64_t rows, RowFn fn, const void* context) const {
  const ThreadPool& pool = cpu_pool(*this);
  constexpr int64_t kPieces = 32;  // a row costs little or much: enough pieces to even that out
  const int64_t pieces = std::min(rows, kPieces);
  if (rows == 1) return fn(context, 0);
  pool.run(pieces, [&](int64_t piece) {
    const int64_t end = rows * (piece + 1) / pieces;
    for (int64_t r = rows * piece / pieces; r < end; ++r) fn(context, r);
  });
}

TensorView Saved::keep(std::string_view name, DType dtype, std::initializer_list<int64_t> shape) {
  for (const auto& [kept, tensor] : impl_->tensors) {
    MOIETY_CHECK(kept != name, "saved: '{}' was kept twice in one forward", name);
  }
  const TensorView tensor = impl_->arena->make(dtype, shape);
  impl_->tensors.emplace_back(name, tensor);
  return tensor;
}

ConstTensorView Saved::operator[](std::string_view name) const {
  std::string names;
  for (const auto& [kept, tensor] : impl_->tensors) {
    if (kept == name) return tensor;
    names += (names.empty() ? "" : ", ") + kept;
  }
  throw Error(fmt::format("saved: forward kept no '{}'; it kept: {}", name,
                          names.empty() ? "nothing" : names));
}

}  // namespace moiety
