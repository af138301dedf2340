// The decoder: embeddings, layers, head.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/model/decoder_layer.h"
#include "core/model/head.h"
#include "core/model/model.h"
#include "core/model/moe_parts.h"
#include "core/model/token_embedding.h"

namespace moiety {

class MOIETY_API Gpt final : public Model {
 public:
  /// Declares, freezes (model.freeze), allocates and initialises all parameters on `context`.
  /// Throws ConfigError for a configuration that fits no decoder. With ModelMemory::kNone declares
  /// only.
  Gpt(const RunConfig& config, const MoeFactory& factory, DeviceContext& context,
      ModelMemory memory = ModelMemory::kAllocated);

  ParameterTable& parameters() override { return table_; }
  int64_t moe_layers() const override { return static_cast<int64_t>(moe_.size()); }
  int64_t most_experts() const override;
  std::vector<int64_t> moe_layer_numbers() const override;
  std::vector<int64_t> experts_of_layers() const override;
  bool needs_counts() const override;
  bool needs_load() const override;
  void count_load(Exec& exec, const MicroBatch& batch) override;
  void forward_backward(Exec& exec, const MicroBatch& batch, const Objective& objective,
                        int64_t micro_batches, const StepSums& sums) override;
  void evaluate(Exec& exec, const MicroBatch& batch, const Objective& objective,
                const StepSums& sums) override;
  TensorView features(Exec& exec, const MicroBatch& batch, bool training) override;
  void feature_logits(Exec& exec, ConstTensorView features, TensorView logits) override;
  void logits(Exec& exec, ConstTensorView tokens, TensorView logits) override;
  void end_step(Exec& exec, const StepSums& sums) override;
  std::vector<const Arena*> activation_memory() const override { return {&memory_, &again_}; }
  double flops_per_token() const override;
  std::vector<double> flops_per_choice() const override;

 private:
  struct Pass;  // one micro-batch in flight
  void add_layers(const MoeFactory& factory);
  void check_balance_scope() const;
  /// The residual stream after the last layer. Every layer's call is in `pass` when it keeps them.
  TensorView decode(Exec& exec, Pass& pass, const StepSums& sums);
  TensorView decode_to_keep(Exec& exec, Pass& pass, const StepSums& sums, TensorView x);
  TensorView decode_to_forget(Exec& exec, Pass& pass, const StepSums& sums, TensorView x,
                              int64_t layers);
  TensorView embed(Exec& exec, Pass& pass);
  void find_documents(Exec& exec, Pass& pass);
  MoeSums sums_of_layer(const Pass& pass, const StepSums& sums, int64_t layer) const;
  /// Gives `pass` the totals of the batch, or of `batch` alone.
  void take_totals(Exec& exec, const MicroBatch& batch, int64_t micro_batches, Pass& pass);
  void complete_load(Exec& exec, Pass& pass) const;

  ModelConfig config_;
  MoeConfig moe_config_;
  BalanceLosses losses_;
  ParameterTable table_;
  Recompute recompute_;
  Arena memory_;  // of the micro-batch in flight
  Arena again_;   // of the layer in work: what its backward computes again
  TokenEmbedding embedding_;
  std::vector<std::unique_ptr<DecoderLayer>> layers_;
  std::vector<int64_t> moe_;  // numbers of the MoE layers
  std::vector<int64_t> row_;  // layer -> row of the statistics, or -1
  std::unique_ptr<Head> head_;
};

}  // namespace moiety
