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
  TensorView master;          // f32; empty when the value is f32
  float lr_scale = 1;         // of the parameter group
  float decay_scale = -1;     // of the parameter group; below 0: by kind, see slices()
  std::vector<StateSpec> state_specs;
  std::vector<TensorView> state;  // like state_specs
  const TensorView& authoritative() const { return master ? master : parameter.value; }
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
  /// Allocates values (matrices in `compute`, others f32), masters, and with `gradients` f32 grads.
  void allocate(DeviceContext& context, DType compute, bool gradients);
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

  /// Host copies of whole f32 tensors (the authoritative value), for tests and conversions.
  std::vector<float> read(const TensorView& tensor) const;
  void write(TableEntry& entry, const std::vector<float>& values);  ///< master and value

 private:
  TableEntry& insert(const std::string& name);
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
