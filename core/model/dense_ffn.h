// The feed-forward part of a dense decoder layer: the SDK's expert function with one expert and one
// segment.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/config/run_config.h"
#include "core/model/all_rows.h"
#include "core/model/parameter_table.h"

namespace moiety {

class DenseFfn {
 public:
  /// Declares "prefix.{w_in, b_in, w_out, b_out}" with a first axis of 1.
  DenseFfn(ParameterTable& table, const std::string& prefix, const ModelConfig& config,
           int64_t layer);
  void forward(Exec& exec, const ExpertBatch& batch, Saved::Impl& saved, TensorView out) const;
  void backward(Exec& exec, const ExpertBatch& batch, Saved::Impl& saved, ConstTensorView dout,
                TensorView dx) const;
  double flops_per_token() const { return function_->flops_per_token(); }

 private:
  std::unique_ptr<ExpertType> function_;
  Params::Impl* params_;
};

}  // namespace moiety
