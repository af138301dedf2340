// Where parameters lie and how they start.
#include <algorithm>
#include <optional>

#include "core/base/check.h"
#include "core/base/thread_pool.h"
#include "core/model/initialize.h"
#include "core/model/parameter_table.h"
#include "core/ops/master_values.h"

namespace moiety {

namespace {

size_t bytes_of(DType dtype, const std::vector<int64_t>& shape) {
  int64_t n = size_of(dtype);
  for (const int64_t size : shape) n *= size;
  return Arena::padded(static_cast<size_t>(n));
}

/// The dtypes of an entry's tensors.
struct EntryForm {
  DType value = DType::kF32;
  std::optional<DType> master, gradient;
  size_t values(const TableEntry& entry) const { return bytes_of(value, entry.shape); }
  size_t masters(const TableEntry& e) const { return master ? bytes_of(*master, e.shape) : 0; }
  size_t gradients(const TableEntry& e) const {
    return gradient ? bytes_of(*gradient, e.shape) : 0;
  }
};

EntryForm form_of(const TableEntry& entry, const TableForm& form) {
  EntryForm kept;
  kept.value = entry.dtype;
  if (entry.buffer) return kept;
  const Parameter::Impl& p = entry.parameter;
  kept.value = p.spec.keep_f32 || entry.shape.size() < 2 ? DType::kF32 : form.compute;
  if (entry.frozen) return kept;
  if (kept.value != DType::kF32) {
    const bool split = form.split_masters && kept.value == DType::kBF16;
    kept.master = split ? DType::kU16 : DType::kF32;
  }
  const bool narrow = p.compute_gradient && kept.value == form.gradient;
  if (form.gradients) kept.gradient = narrow ? form.gradient : DType::kF32;
  return kept;
}

ParamInfo info_of(const TableEntry& entry) {
  ParamInfo info;
  info.name = entry.name;
  info.shape = entry.shape;
  info.first_expert = entry.expert ? 0 : -1;
  return info;
}

/// Of `optimizer` for one entry, every shape filled in.
std::vector<StateSpec> states_of(const TableEntry& entry, const Optimizer& optimizer,
                                 const ParamInfo& info) {
  std::vector<StateSpec> specs = optimizer.state(info);
  for (StateSpec& spec : specs) {
    if (spec.shape.empty()) spec.shape = entry.shape;
  }
  return specs;
}

}  // namespace

void ParameterTable::allocate(DeviceContext& context, const TableForm& form) {
  MOIETY_CHECK(context_ == nullptr, "the parameter table is allocated twice");
  context_ = &context;
  memory_ = std::make_unique<Arena>(context);
  copies_ = std::make_unique<Arena>(context);
  copy_scratch_ = std::make_unique<Arena>(context);
  copy_exec_ = std::make_unique<Exec::Impl>();
  copy_exec_->context = context_;
  copy_exec_->scratch = copy_scratch_.get();
  copy_exec_->compute_dtype = form.compute;
  size_t bytes = 0;
  for (const TableEntry& entry : entries_) {
    const EntryForm kept = form_of(entry, form);
    bytes += kept.values(entry) + kept.masters(entry) + kept.gradients(entry);
  }
  memory_->reserve(bytes);
  for (TableEntry& entry : entries_) allocate(entry, form);
  set_grad_mode(form.gradients ? GradMode::kOverwrite : GradMode::kNone);
}

void ParameterTable::allocate(TableEntry& entry, const TableForm& form) {
  const EntryForm kept = form_of(entry, form);
  Parameter::Impl& p = entry.parameter;
  p.copy_memory = copies_.get();
  p.exec = copy_exec_.get();
  entry.dtype = kept.value;
  p.value = memory_->make(kept.value, entry.shape);
  zero(p.value);
  if (kept.master == DType::kF32) entry.master = memory_->make(DType::kF32, entry.shape);
  if (kept.master == DType::kU16) entry.master_low = memory_->make(DType::kU16, entry.shape);
  if (kept.gradient) p.grad = memory_->make(*kept.gradient, entry.shape);
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

static float decay_scale(const TableEntry& entry) {
  if (entry.decay_scale >= 0) return entry.decay_scale;
  const size_t axes = entry.shape.size() - (entry.expert ? 1 : 0);
  return entry.parameter.spec.decay && axes > 1 ? 1 : 0;
}

std::vector<ParamSlice> ParameterTable::slices(const Optimizer& optimizer) {
  size_t bytes = 0;
  for (TableEntry& entry : entries_) {
    if (entry.buffer || entry.frozen || !entry.state.empty()) continue;
    entry.state_specs = states_of(entry, optimizer, info_of(entry));
    for (const StateSpec& spec : entry.state_specs) bytes += bytes_of(spec.dtype, spec.shape);
  }
  memory_->reserve(bytes);
  std::vector<ParamSlice> slices;
  for (TableEntry& entry : entries_) {
    if (entry.buffer || entry.frozen) continue;
    ParamSlice slice;
    slice.info = info_of(entry);
    slice.info.lr_scale = entry.lr_scale;
    slice.info.decay_scale = decay_scale(entry);
    slice.value = entry.parameter.value;
    slice.master = entry.master;
    slice.master_low = entry.master_low;
    slice.grad = entry.parameter.grad;
    for (const StateSpec& spec : entry.state_specs) {
      if (entry.state.size() == entry.state_specs.size()) break;  // made before
      entry.state.push_back(memory_->make(spec.dtype, spec.shape));
      zero(entry.state.back());
    }
    slice.state = entry.state;
    slices.push_back(std::move(slice));
  }
  return slices;
}

TableMemory ParameterTable::plan(const TableForm& form, const Optimizer& optimizer) const {
  TableMemory memory;
  for (const TableEntry& entry : entries_) {
    const EntryForm kept = form_of(entry, form);
    memory.weights += kept.values(entry);
    memory.masters += kept.masters(entry);
    memory.gradients += kept.gradients(entry);
    if (entry.buffer || entry.frozen) continue;
    for (const StateSpec& spec : states_of(entry, optimizer, info_of(entry))) {
      memory.optimizer += bytes_of(spec.dtype, spec.shape);
    }
  }
  return memory;
}

static size_t bytes_of(const TensorView& tensor) {
  return tensor ? Arena::padded(static_cast<size_t>(tensor.numel() * size_of(tensor.dtype))) : 0;
}

TableMemory ParameterTable::memory() const {
  TableMemory memory;
  if (memory_ == nullptr) return memory;
  for (const TableEntry& entry : entries_) {
    memory.weights += bytes_of(entry.parameter.value);
    memory.masters += bytes_of(entry.master) + bytes_of(entry.master_low);
    memory.gradients += bytes_of(entry.parameter.grad);
    for (const TensorView& state : entry.state) memory.optimizer += bytes_of(state);
  }
  const size_t held = memory_->reserved_bytes() + copies_->reserved_bytes();
  memory.weights += copies_->peak_bytes();
  memory.spare = held - memory.total();
  return memory;
}

void ParameterTable::refresh(Exec& exec) {
  for (TableEntry& entry : entries_) {
    if (entry.master) ops::master_values(exec, entry.master, entry.parameter.value);
  }
  refresh_copies(exec);
}

void ParameterTable::refresh_copies(Exec&) {
  for (const TableEntry& entry : entries_) moiety::refresh_copies(entry.parameter);
}

}  // namespace moiety
