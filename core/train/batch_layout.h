// How a train batch lies in one piece of memory, the same on the host and on the device, so that
// one copy brings it over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <moiety/data_source.h>
#include <moiety/objective.h>

#include "core/config/run_config.h"
#include "core/model/model.h"

namespace moiety {

/// Throws ConfigError, at data.type, where `source` gives images and model.type reads tokens, or
/// the other way round.
MOIETY_API void check_fields(const RunConfig& config, const DataSource& source);

/// M micro-batches of B sequences of S tokens; of images, S = 1.
struct BatchShape {
  int64_t micro_batches = 1, sequences = 1, length = 1;
  int64_t samples() const { return micro_batches * sequences; }
  int64_t tokens() const { return samples() * length; }
};

class MOIETY_API BatchLayout {
 public:
  /// Throws ConfigError where the source's fields are not what a model reads: tokens, targets i32
  /// [S] below `vocab`, and optionally loss_mask f32 [S], token_mask u8 [S]; or image u8 [C, H, W]
  /// and label i32 [1] below `vocab`. Rows whose input is `end_of_document` have no loss; below 0 =
  /// none.
  BatchLayout(const BatchShape& shape, const DataSource& source, int64_t vocab,
              int64_t end_of_document = -1);

  const BatchShape& shape() const { return shape_; }
  size_t bytes() const { return bytes_; }
  /// The rows of sample `slot` (of M * B) at host memory `base`, in the order of source.fields().
  std::vector<TensorView> rows_of(void* base, int64_t slot) const;
  /// Completes a micro-batch whose samples have been filled: the loss mask of documents' ends.
  void finish(void* base, int64_t micro_batch) const;
  /// f32 [M] at `base`: what each micro-batch's loss is divided by.
  float* denominators(void* base) const;
  /// Weight of the rows that have a target, of one finished micro-batch.
  double weight(void* base, int64_t micro_batch) const;
  /// Views of a micro-batch at `base` on `device`; `rows` is left to the caller.
  MicroBatch view(void* base, int64_t micro_batch, Device device) const;

 private:
  /// A field of all samples, one after the other.
  struct Piece {
    DType dtype = DType::kI32;
    std::vector<int64_t> shape = {};  // of one sample
    int64_t offset = -1;              // in bytes; -1 = there is no such field
    int64_t elements() const;         // of one sample
  };
  using Member = Piece BatchLayout::*;  // null = no field of that name
  static Member piece_named(const std::string& name);
  void place(Piece& piece, int64_t& end);
  TensorView samples(const Piece& piece, void* base, int64_t first, int64_t count,
                     Device device) const;

  BatchShape shape_;
  int64_t end_of_document_;
  Piece tokens_, targets_, loss_mask_, token_mask_, image_;
  std::vector<Member> fields_;  // in the order of the source's
  bool source_has_mask_ = false;
  int64_t denominators_ = 0;
  size_t bytes_ = 0;
};

/// Facet of objectives: the token after which a document ends, or -1.
MOIETY_API int64_t end_of_document_token(const Objective& objective);

}  // namespace moiety
