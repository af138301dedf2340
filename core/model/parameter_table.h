// Every trainable tensor and buffer of a run under its global name: values, f32 masters, gradients,
// optimizer state. One table serves the model, the optimizer, the checkpoint and the log.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <moiety/component.h>
#include <moiety/optimizer.h>

#include "core/device/arena.h"
#include "core/device/exec_impl.h"

namespace moiety {

struct Parameter::Impl {
  ParamSpec spec;
  TensorView value, grad;
  GradMode mode = GradMode::kNone;
  bool compute_gradient = false;  // Declarations::compute_gradient
  struct Copy {
    Format format;
    TensorView values;
  };
  mutable std::vector<Copy> copies;
  mutable Arena* copy_memory = nullptr;  // where compute_copy allocates
  mutable Exec::Impl* exec = nullptr;    // where it converts
};

/// Converts a parameter's value into each of its compute copies, in stream order.
void refresh_copies(const Parameter::Impl& parameter);

/// The names that one component declared, without the prefix.
struct Params::Impl {
  std::vector<std::pair<std::string, Parameter::Impl*>> table;
};

struct BufferSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

struct Declarations::Impl {
  std::vector<ParamSpec> parameters;
  std::vector<std::string> compute_gradients;  // names among them
  std::vector<BufferSpec> buffers;
};

struct TableEntry {
  std::string name;            // "layers.1.moe.experts.w_in"
  std::vector<int64_t> shape;  // of the whole tensor; an expert tensor is [E, ...]
  bool expert = false;         // one slice of axis 0 per global expert
  bool buffer = false;         // state of a component: no gradient, no optimizer
  bool frozen = false;
  int64_t layer = -1;         // -1: not of a layer
  DType dtype = DType::kF32;  // of the value
  Parameter::Impl parameter;  // spec, value, grad, mode
  TensorView master;          // f32; empty when the value is f32, or with master_low
  TensorView master_low;      // u16: the bits below a bf16 value, in place of a master
  float lr_scale = 1;         // of the parameter group
  float decay_scale = -1;     // of the parameter group; below 0: by kind, see slices()
  std::vector<StateSpec> state_specs;
  std::vector<TensorView> state;  // like state_specs
  /// Where the f32 weights lie; with master_low they lie nowhere whole, and it is the value.
  const TensorView& authoritative() const { return master ? master : parameter.value; }
};

/// How a table keeps its parameters.
struct TableForm {
  DType compute = DType::kF32;  // of matrices' values; others are f32
  bool gradients = true;
  DType gradient = DType::kF32;  // f32, or `compute` for the matrices whose backward allows it
  bool split_masters = false;    // master_low in place of masters, for bf16 values
};

/// Bytes of a table's parameters by what they are for.
struct TableMemory {
  size_t weights = 0;  // values, buffers and compute copies
  size_t masters = 0, gradients = 0, optimizer = 0;
  size_t spare = 0;  // held, but in no tensor
  size_t total() const { return weights + masters + gradients + optimizer + spare; }
};

class MOIETY_API ParameterTable {
 public:
  ParameterTable();
  ~ParameterTable();

  /// What `component` declares, under "prefix.name". Throws on a name that exists. `expert` marks
  /// tensors with one slice per expert. The returned handle lives as long as the table.
  Params::Impl* declare(const std::string& prefix, const Component& component, bool expert,
                        int64_t layer);
  /// One tensor of the model itself.
  Parameter::Impl* add(const std::string& name, const ParamSpec& spec, int64_t layer = -1);

  /// Marks parameters whose name matches a glob pattern ("layers.0.*"). Throws ConfigError on a
  /// pattern that matches nothing.
  void freeze(const std::vector<std::string>& patterns);
  /// Allocates values, masters and gradients.
  void allocate(DeviceContext& context, const TableForm& form);
  void allocate(DeviceContext& context, DType compute, bool gradients) {
    allocate(context, {.compute = compute, .gradients = gradients});
  }
  /// What allocate() and slices() will take, compute copies left out.
  TableMemory plan(const TableForm& form, const Optimizer& optimizer) const;
  /// What they have taken.
  TableMemory memory() const;

  /// Draws each element from (seed, name, global index): the same for every layout and device.
  void initialize(uint64_t seed, double init_std, int64_t layers, bool identical_experts = false);
  /// Asks `optimizer` for its state, allocates it zero-filled, and returns the slices to bind.
  /// Biases, norms and other tensors of one axis (an expert's own: after the axis of the experts)
  /// do not decay unless a group says so.
  std::vector<ParamSlice> slices(const Optimizer& optimizer);

  void set_grad_mode(GradMode mode);
  /// After masters changed: values, then compute copies. In stream order.
  void refresh(Exec& exec);
  /// Only the compute copies (the optimizer wrote value and master).
  void refresh_copies(Exec& exec);

  std::deque<TableEntry>& entries() { return entries_; }
  const std::deque<TableEntry>& entries() const { return entries_; }
  TableEntry* find(std::string_view name);
  int64_t trainable() const;  ///< elements
  int64_t total() const;
  DeviceContext& context() const { return *context_; }

  /// Host copies in f32, of one tensor or of an entry's weights: masters where there are some.
  std::vector<float> read(const TensorView& tensor) const;
  std::vector<float> read(const TableEntry& entry) const;
  /// Elements [begin, begin + count) of an entry's weights; waits for the device.
  void read_part(const TableEntry& entry, int64_t begin, int64_t count, float* to) const;
  void write(TableEntry& entry, const std::vector<float>& values);  ///< master and value

 private:
  TableEntry& insert(const std::string& name);
  void allocate(TableEntry& entry, const TableForm& form);
  void upload(const TensorView& to, int64_t begin, const std::vector<uint8_t>& bytes) const;
  void zero(const TensorView& tensor) const;
  void write_part(TableEntry& entry, int64_t begin, const std::vector<float>& values);

  std::deque<TableEntry> entries_;
  std::deque<Params::Impl> views_;
  std::map<std::string, TableEntry*, std::less<>> by_name_;
  DeviceContext* context_ = nullptr;
  std::unique_ptr<Arena> memory_;
  std::unique_ptr<Arena> copies_;
  std::unique_ptr<Arena> copy_scratch_;
  std::unique_ptr<Exec::Impl> copy_exec_;
};

}  // namespace moiety
