// Where parameters lie, how they start, and how they travel between host and device.
#include <algorithm>
#include <cstring>

#include <moiety/ops.h>

#include "core/base/check.h"
#include "core/base/thread_pool.h"
#include "core/model/initialize.h"
#include "core/model/parameter_table.h"

namespace moiety {

void ParameterTable::allocate(DeviceContext& context, DType compute, bool gradients) {
  MOIETY_CHECK(context_ == nullptr, "the parameter table is allocated twice");
  context_ = &context;
  memory_ = std::make_unique<Arena>(context);
  copies_ = std::make_unique<Arena>(context);
  copy_scratch_ = std::make_unique<Arena>(context);
  copy_exec_ = std::make_unique<Exec::Impl>();
  copy_exec_->context = context_;
  copy_exec_->scratch = copy_scratch_.get();
  copy_exec_->compute_dtype = compute;
  for (TableEntry& entry : entries_) {
    Parameter::Impl& p = entry.parameter;
    p.copy_memory = copies_.get();
    p.exec = copy_exec_.get();
    if (!entry.buffer) {
      entry.dtype = p.spec.keep_f32 || entry.shape.size() < 2 ? DType::kF32 : compute;
    }
    p.value = memory_->make(entry.dtype, entry.shape);
    zero(p.value);
    if (entry.buffer || entry.frozen) continue;
    if (entry.dtype != DType::kF32) entry.master = memory_->make(DType::kF32, entry.shape);
    if (gradients) p.grad = memory_->make(DType::kF32, entry.shape);
  }
  set_grad_mode(gradients ? GradMode::kOverwrite : GradMode::kNone);
}

void ParameterTable::zero(const TensorView& tensor) const {
  context_->zero(tensor.ptr, static_cast<size_t>(tensor.numel() * size_of(tensor.dtype)));
}

/// The name whose values an entry starts with: with identical experts the dense branch of PR-MoE is
/// one more copy, as in DeepSpeed, where the experts are copies of it.
static std::string drawn_as(ParameterTable& table, const TableEntry& entry, bool identical) {
  const std::string part = ".dense.";
  const size_t at = entry.name.rfind(part);
  if (!identical || at == std::string::npos) return entry.name;
  const std::string layer = entry.name.substr(0, at);
  if (table.find(layer + ".coefficient.weight") == nullptr) return entry.name;
  const std::string twin = layer + ".experts." + entry.name.substr(at + part.size());
  const TableEntry* expert = table.find(twin);
  const bool same =
      expert != nullptr && expert->shape.size() == entry.shape.size() &&
      std::equal(expert->shape.begin() + 1, expert->shape.end(), entry.shape.begin() + 1);
  return same ? twin : entry.name;
}

void ParameterTable::initialize(uint64_t seed, double init_std, int64_t layers,
                                bool identical_experts) {
  const ThreadPool pool(0);
  constexpr int64_t kPiece = int64_t{1} << 16, kChunk = 256 * kPiece;
  std::vector<float> chunk;
  for (TableEntry& entry : entries_) {
    if (entry.buffer) continue;
    const uint64_t key = initial_key(seed, drawn_as(*this, entry, identical_experts));
    InitialValues values = initial_values(entry.parameter.spec, key, init_std, layers);
    const int64_t n = entry.parameter.value.numel();
    if (entry.expert && identical_experts && n > 0) values.period = n / entry.shape[0];
    for (int64_t begin = 0; begin < n; begin += kChunk) {
      const int64_t count = std::min(kChunk, n - begin);
      chunk.resize(static_cast<size_t>(count));
      pool.run((count + kPiece - 1) / kPiece, [&](int64_t piece) {
        const int64_t from = piece * kPiece, size = std::min(kPiece, count - from);
        draw(values, begin + from,
             std::span(chunk).subspan(static_cast<size_t>(from), static_cast<size_t>(size)));
      });
      write_part(entry, begin, chunk);
    }
  }
  Exec exec(copy_exec_.get());
  refresh(exec);
  context_->synchronize();
}

std::vector<ParamSlice> ParameterTable::slices(const Optimizer& optimizer) {
  std::vector<ParamSlice> slices;
  for (TableEntry& entry : entries_) {
    if (entry.buffer || entry.frozen) continue;
    ParamSlice slice;
    slice.info.name = entry.name;
    slice.info.shape = entry.shape;
    slice.info.first_expert = entry.expert ? 0 : -1;
    slice.info.decay_scale = entry.parameter.spec.decay ? 1 : 0;
    slice.value = entry.parameter.value;
    slice.master = entry.master;
    slice.grad = entry.parameter.grad;
    if (entry.state.empty()) {
      entry.state_specs = optimizer.state(slice.info);
      for (StateSpec& spec : entry.state_specs) {
        if (spec.shape.empty()) spec.shape = entry.shape;
        entry.state.push_back(memory_->make(spec.dtype, spec.shape));
        zero(entry.state.back());
      }
    }
    slice.state = entry.state;
    slices.push_back(std::move(slice));
  }
  return slices;
}

void ParameterTable::refresh(Exec& exec) {
  for (TableEntry& entry : entries_) {
    if (entry.master) ops::copy(exec, entry.master, entry.parameter.value);
  }
  refresh_copies(exec);
}

void ParameterTable::refresh_copies(Exec&) {
  for (const TableEntry& entry : entries_) moiety::refresh_copies(entry.parameter);
}

std::vector<float> ParameterTable::read(const TensorView& tensor) const {
  const auto n = static_cast<size_t>(tensor.numel());
  std::vector<uint8_t> bytes(n * static_cast<size_t>(size_of(tensor.dtype)));
  context_->copy(bytes.data(), tensor.ptr, bytes.size());
  context_->synchronize();
  std::vector<float> values(n);
  const auto convert = [&](auto like) {
    using T = decltype(like);
    for (size_t i = 0; i < n; ++i) {
      T x;
      std::memcpy(&x, &bytes[i * sizeof(T)], sizeof(T));
      values[i] = static_cast<float>(x);
    }
  };
  switch (tensor.dtype) {
    case DType::kF32: convert(float{}); break;
    case DType::kBF16: convert(BFloat16{}); break;
    case DType::kF16: convert(Float16{}); break;
    case DType::kI32: convert(int32_t{}); break;
    case DType::kI64: convert(int64_t{}); break;
    case DType::kU8: convert(uint8_t{}); break;
    default: throw Error(fmt::format("cannot read a tensor of {}", name_of(tensor.dtype)));
  }
  return values;
}

void ParameterTable::write(TableEntry& entry, const std::vector<float>& values) {
  const int64_t n = entry.parameter.value.numel();
  MOIETY_CHECK(static_cast<int64_t>(values.size()) == n,
               "{}: {} values were given for a tensor of {} elements", entry.name, values.size(),
               n);
  write_part(entry, 0, values);
  Exec exec(copy_exec_.get());
  if (entry.master) ops::copy(exec, entry.master, entry.parameter.value);
  moiety::refresh_copies(entry.parameter);
  context_->synchronize();
}

/// Elements from `begin` on of the authoritative tensor.
void ParameterTable::write_part(TableEntry& entry, int64_t begin,
                                const std::vector<float>& values) {
  const TensorView& to = entry.authoritative();
  std::vector<uint8_t> bytes(values.size() * static_cast<size_t>(size_of(to.dtype)));
  const auto convert = [&](auto like) {
    using T = decltype(like);
    for (size_t i = 0; i < values.size(); ++i) {
      const T x = T(values[i]);
      std::memcpy(&bytes[i * sizeof(T)], &x, sizeof(T));
    }
  };
  switch (to.dtype) {
    case DType::kF32: convert(float{}); break;
    case DType::kBF16: convert(BFloat16{}); break;
    case DType::kF16: convert(Float16{}); break;
    default:
      throw Error(fmt::format("{}: values of {} cannot be written", entry.name, name_of(to.dtype)));
  }
  context_->copy(static_cast<char*>(to.ptr) + begin * size_of(to.dtype), bytes.data(),
                 bytes.size());
  context_->synchronize();
}

}  // namespace moiety
