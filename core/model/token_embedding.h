// Token and learned position embeddings, with dropout.
#pragma once

#include <optional>

#include "core/config/run_config.h"
#include "core/model/attention_block.h"

namespace moiety {

class TokenEmbedding {
 public:
  /// Declares "embedding.token" [V, D] and, for learned positions, "embedding.position" [P, D].
  TokenEmbedding(ParameterTable& table, const ModelConfig& config);

  /// out [T, D]. Throws Error when the sequence is longer than the learned positions, which start
  /// again with each of the `documents` where model.documents says so.
  void forward(Exec& exec, const BatchShape& shape, const ops::Documents& documents,
               ConstTensorView ids /*i32 [T]*/, TensorView out) const;
  /// `dy` is overwritten. `token_accumulate`: a tied head wrote the token gradient first.
  void backward(Exec& exec, const BatchShape& shape, const ops::Documents& documents,
                ConstTensorView ids, TensorView dy, bool token_accumulate) const;
  const Parameter& token() const { return token_; }

 private:
  ConstTensorView restarts(const ops::Documents& documents) const;

  double dropout_;
  bool restart_positions_;
  Parameter token_;
  std::optional<Parameter> position_;
};

}  // namespace moiety
