// How a train batch lies in one piece of memory, the same on the host and on the device, so that
// one copy brings it over.
#pragma once

#include <cstdint>
#include <vector>

#include <moiety/data_source.h>

#include "core/model/model.h"

namespace moiety {

/// M micro-batches of B sequences of S tokens.
struct BatchShape {
  int64_t micro_batches = 1, sequences = 1, length = 1;
  int64_t samples() const { return micro_batches * sequences; }
  int64_t tokens() const { return samples() * length; }
};

/// Offsets in bytes; -1 = the source has no such field.
class MOIETY_API BatchLayout {
 public:
  /// Throws ConfigError where the source's fields are not what a language model reads: tokens,
  /// targets i32 [S] below `vocab`, and optionally loss_mask f32 [S], token_mask u8 [S].
  BatchLayout(const BatchShape& shape, const DataSource& source, int64_t vocab);

  const BatchShape& shape() const { return shape_; }
  size_t bytes() const { return bytes_; }
  /// The rows of sample `slot` (of M * B) at host memory `base`, in the order of source.fields().
  std::vector<TensorView> rows_of(void* base, int64_t slot) const;
  /// f32 [M] at `base`: what each micro-batch's loss is divided by.
  float* denominators(void* base) const;
  /// Weight of the rows that have a target, of one micro-batch.
  double weight(void* base, int64_t micro_batch) const;
  /// Views of a micro-batch at `base` on `device`; `rows` is left to the caller.
  MicroBatch view(void* base, int64_t micro_batch, Device device) const;

 private:
  struct Piece {
    DType dtype;
    int64_t offset;
  };
  TensorView sequences(void* base, int64_t offset, DType dtype, int64_t first, int64_t count,
                       Device device) const;
  BatchShape shape_;
  std::vector<Piece> pieces_;  // in the order of the source's fields
  int64_t tokens_ = -1, targets_ = -1, loss_mask_ = -1, token_mask_ = -1, denominators_ = 0;
  size_t bytes_ = 0;
};

}  // namespace moiety
