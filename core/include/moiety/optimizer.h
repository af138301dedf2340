// Turns gradients into updates. All parameters of a rank at once, so one launch can serve them.
#pragma once

#include <cstdint>
#include <span>

#include <moiety/component.h>

namespace moiety {

struct ParamInfo {
  std::string name;                 // "layers.3.moe.experts.w_in"
  std::vector<int64_t> shape = {};  // of the whole tensor
  int64_t shard_begin = 0;          // first element of this rank's shard
  int64_t first_expert = -1;        // global number of expert 0 of the shard; -1 = not an expert
  float lr_scale = 1, decay_scale = 1;
};

struct StateSpec {
  std::string name;  // the data set's name in a checkpoint
  DType dtype = DType::kF32;
  std::vector<int64_t> shape = {};  // empty = like the shard
};

struct ParamSlice {
  ParamInfo info;
  TensorView value = {};       // what the model reads
  TensorView master = {};      // f32; empty when value is f32, or with master_low
  TensorView master_low = {};  // u16 bits below a bf16 value, instead of master: master_weight.h
  ConstTensorView grad = {};   // f32, or the dtype of value
  std::vector<TensorView> state = {};  // in the order of state()
};

class MOIETY_API Optimizer : public Component {
 public:
  static constexpr ComponentKind kKind = ComponentKind::kOptimizer;
  static constexpr uint32_t kInterface = 1;
  ~Optimizer() override;

  virtual std::vector<StateSpec> state(const ParamInfo&) const = 0;
  virtual bool needs_whole_tensors() const { return false; }  ///< true: no shard cuts a tensor
  /// Once, and again after resharding; the views stay valid until the next bind.
  virtual void bind(Exec&, std::span<const ParamSlice>) = 0;
  /// Captured in a graph: everything that changes is read from exec.step() on the device.
  virtual void step(Exec&) const = 0;
};

}  // namespace moiety
