// What the training loop asks of a model. Everything is in stream order and may be captured: no
// call waits for the device.
#pragma once

#include <cstdint>
#include <memory>

#include <moiety/objective.h>

#include "core/config/run_config.h"
#include "core/device/exec_impl.h"
#include "core/model/batch_totals.h"
#include "core/model/parameter_table.h"

namespace moiety {

/// Another model's logits for the rows of a micro-batch, a block at a time.
class MOIETY_API TeacherLogits {
 public:
  virtual ~TeacherLogits();
  /// Writes those of rows [begin, begin + out.dim(0)); out [R, V] in the compute dtype.
  virtual void logits(int64_t begin, TensorView out) const = 0;
};

/// One micro-batch on the device. B sequences of S tokens, T = B * S rows in memory order. A model
/// of images has one row a sample: S = 1, T = B.
struct MicroBatch {
  ConstTensorView tokens;                  // i32 [B, S]; empty for a model of images
  ConstTensorView image;                   // u8 [B, C, H, W], for a model of images
  ConstTensorView targets;                 // i32 [B, S]; below 0 = no loss
  ConstTensorView loss_mask;               // f32 [B, S], or empty = 1
  ConstTensorView token_mask;              // u8 [B, S], 0 = padding, or empty
  ConstTensorView denominator;             // f32 [1]: sum of the mask over all rows with a target
  const RowMap* rows = nullptr;            // device: where these rows lie in the train batch
  const TeacherLogits* teacher = nullptr;  // while the objective wants one
  /// Of the train batch, for a model that needs them. null = this micro-batch is all of it.
  BatchTotals* totals = nullptr;
};

/// Sums over a train batch, on the device, += by every micro-batch. Zeroed by the loop. Lm = number
/// of MoE layers, Emax = most experts of a layer. Raw losses are sums over the micro-batches:
/// divide by their number for the mean that the gradient belongs to, except for balance_sequence
/// and balance_global, whose sum it belongs to. An empty view is left out.
struct StepSums {
  TensorView loss;     // f32 [1]: objective, already divided by the denominator
  TensorView metrics;  // f32 [M] of the objective
  TensorView aux;      // f32 [Lm]: the gate's losses, raw
  TensorView balance;  // f32 [Lm]: the balancing loss of a layer in a micro-batch, raw
  TensorView z;        // f32 [Lm]: raw
  // f32 [Lm], raw, 0 where such a loss is off; the first two in training alone:
  TensorView balance_sequence, balance_global, importance, load;
  TensorView balance_model;  // f32 [1]: of all layers together, raw
  TensorView chosen;         // f32 [Lm, Emax]: choices before dropping
  TensorView dropped;        // f32 [Lm, Emax]
  TensorView probability;    // f32 [Lm, Emax]: sum over tokens of softmax(router logits)
  TensorView entropy;        // f32 [Lm]: sum over tokens, nats
  TensorView tokens;         // f32 [Lm]: tokens routed
};

/// Of activations and of the matrices that products read.
MOIETY_API DType compute_dtype(Precision precision);

/// Of the configuration's fp8 section.
MOIETY_API Fp8Parts fp8_parts(const RunConfig& config);

/// How the configuration wants parameters kept.
MOIETY_API TableForm table_form(const RunConfig& config);

enum class ModelMemory : uint8_t { kAllocated, kNone };

class MOIETY_API Model {
 public:
  virtual ~Model();
  virtual ParameterTable& parameters() = 0;
  virtual int64_t moe_layers() const = 0;                      ///< Lm
  virtual int64_t most_experts() const = 0;                    ///< Emax
  virtual std::vector<int64_t> moe_layer_numbers() const = 0;  ///< of the Lm layers
  virtual std::vector<int64_t> experts_of_layers() const = 0;  ///< E of the Lm layers

  /// Whether a loss spans the train batch: then forward_backward wants BatchTotals::counts where
  /// there are several micro-batches.
  virtual bool needs_counts() const { return false; }
  /// Whether it wants BatchTotals::load too: before the first forward_backward of a batch,
  /// count_load has been called with every other micro-batch.
  virtual bool needs_load() const { return false; }
  /// Forward as forward_backward does it, up to the last router: adds to batch.totals->load.
  virtual void count_load(Exec&, const MicroBatch&) {}

  /// Forward, loss and backward. Auxiliary losses are weighted by 1 / `micro_batches`. Parameter
  /// gradients follow the table's grad mode.
  virtual void forward_backward(Exec&, const MicroBatch&, const Objective&, int64_t micro_batches,
                                const StepSums&) = 0;
  /// Forward and loss, with the evaluation's capacity and without dropout.
  virtual void evaluate(Exec&, const MicroBatch&, const Objective&, const StepSums&) = 0;
  /// What the output layer reads, [T, D] in the compute dtype; it lies in the model's memory until
  /// the next pass. With `training`, dropout and the training's capacity; nothing is kept for a
  /// backward.
  virtual TensorView features(Exec&, const MicroBatch&, bool training) = 0;
  /// Logits [R, V], f32 or in the compute dtype, of rows of features().
  virtual void feature_logits(Exec&, ConstTensorView features, TensorView logits) = 0;
  /// logits [B * S, V] in f32, evaluation mode.
  virtual void logits(Exec&, ConstTensorView tokens /*i32 [B, S]*/, TensorView logits) = 0;
  /// Gating policies' end_step with the load of the train batch (StepSums::chosen).
  virtual void end_step(Exec&, const StepSums&) = 0;
  /// What a micro-batch in flight lies in; empty = nowhere of its own.
  virtual std::vector<const Arena*> activation_memory() const { return {}; }
  /// Forward FLOPs of a token that routing does not change, attention counted causally.
  virtual double flops_per_token() const = 0;
  /// Forward FLOPs of one choice of an expert, of the Lm layers.
  virtual std::vector<double> flops_per_choice() const = 0;
};

class PluginRegistry;

/// The model of `config.model` and `config.moe`. Components come from the registry. All
/// parameters are declared, frozen (model.freeze), allocated with gradients and initialised
/// (run.seed); what is left are the optimizer's slices and, for a resumed run, the checkpoint. With
/// ModelMemory::kNone they are declared alone: the table has names and shapes, and no memory.
MOIETY_API std::unique_ptr<Model> make_model(const RunConfig& config, PluginRegistry& plugins,
                                             DeviceContext& context,
                                             ModelMemory memory = ModelMemory::kAllocated);

}  // namespace moiety
