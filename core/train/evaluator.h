// Loss on the validation split, without dropout: samples spread evenly over it, the same every
// time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/train/session.h"
#include "core/train/step_sums.h"

namespace moiety {

struct Evaluation {
  double loss = 0;  // mean over the rows with a target
  int64_t rows = 0;
  bool images = false;               // a row is an image, not a token
  std::vector<std::string> metrics;  // names of numbers.metrics, which are means too
  StepNumbers numbers;
};

class MOIETY_API Evaluator {
 public:
  /// At most `batches` micro-batches of the training's size.
  Evaluator(const Session& session, const RunConfig& config);
  /// Empty when the source has no validation samples for one micro-batch. Waits for the device.
  std::optional<Evaluation> run(Exec& exec) const;

 private:
  const Session& session_;
  BatchLayout layout_;
  SumsShape shape_;
  StepSumsBuffer sums_;
  Buffer host_, device_, row_map_;
  int64_t batches_;
  double dead_share_;
};

}  // namespace moiety
