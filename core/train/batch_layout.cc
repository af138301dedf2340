#include "core/train/batch_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moiety {

namespace {

[[noreturn]] void refuse(const Field& field, const std::string& expected) {
  throw ConfigError(fmt::format("data source: field {} is {} [{}], ids below {}; expected {}",
                                field.name, name_of(field.dtype), fmt::join(field.shape, ", "),
                                field.bound, expected));
}

}  // namespace

BatchLayout::BatchLayout(const BatchShape& shape, const DataSource& source, int64_t vocab)
    : shape_(shape) {
  struct Known {
    const char* name;
    DType dtype;
    int64_t* offset;
  };
  const Known known[] = {{"tokens", DType::kI32, &tokens_},
                         {"targets", DType::kI32, &targets_},
                         {"loss_mask", DType::kF32, &loss_mask_},
                         {"token_mask", DType::kU8, &token_mask_}};
  int64_t end = 0;
  for (const Field& field : source.fields()) {
    const Known* match = nullptr;
    for (const Known& k : known) {
      if (field.name == k.name) match = &k;
    }
    if (match == nullptr) refuse(field, "one of tokens, targets, loss_mask, token_mask");
    if (field.dtype != match->dtype || field.shape != std::vector<int64_t>{shape.length}) {
      refuse(field,
             fmt::format("{} [{}] (model.sequence_length)", name_of(match->dtype), shape.length));
    }
    if (match->dtype == DType::kI32 && field.bound > vocab) {
      refuse(field, fmt::format("ids below model.vocab_size = {}; set model.vocab_size={}", vocab,
                                field.bound));
    }
    *match->offset = end;
    pieces_.push_back({match->dtype, end});
    end += (shape.tokens() * size_of(match->dtype) + 255) / 256 * 256;
  }
  if (tokens_ < 0 || targets_ < 0) {
    throw ConfigError(
        "data source: fields tokens and targets are missing; a language model "
        "needs both");
  }
  denominators_ = end;
  bytes_ = static_cast<size_t>(end + shape.micro_batches * 4);
}

TensorView BatchLayout::sequences(void* base, int64_t offset, DType dtype, int64_t first,
                                  int64_t count, Device device) const {
  char* at = static_cast<char*>(base) + offset + first * shape_.length * size_of(dtype);
  return view_of(at, dtype, {count, shape_.length}, device);
}

std::vector<TensorView> BatchLayout::rows_of(void* base, int64_t slot) const {
  std::vector<TensorView> rows;
  for (const Piece& piece : pieces_) {
    rows.push_back(
        sequences(base, piece.offset, piece.dtype, slot, 1, {}).reshape({shape_.length}));
  }
  return rows;
}

float* BatchLayout::denominators(void* base) const {
  return reinterpret_cast<float*>(static_cast<char*>(base) + denominators_);
}

double BatchLayout::weight(void* base, int64_t micro_batch) const {
  const MicroBatch batch = view(base, micro_batch, {});
  const auto* targets = batch.targets.data<int32_t>();
  const float* mask = batch.loss_mask ? batch.loss_mask.data<float>() : nullptr;
  double sum = 0;
  for (int64_t i = 0; i < batch.targets.numel(); ++i) {
    if (targets[i] >= 0) sum += mask == nullptr ? 1.0 : static_cast<double>(mask[i]);
  }
  return sum;
}

MicroBatch BatchLayout::view(void* base, int64_t micro_batch, Device device) const {
  const int64_t first = micro_batch * shape_.sequences, count = shape_.sequences;
  MicroBatch batch;
  batch.tokens = sequences(base, tokens_, DType::kI32, first, count, device);
  batch.targets = sequences(base, targets_, DType::kI32, first, count, device);
  if (loss_mask_ >= 0) {
    batch.loss_mask = sequences(base, loss_mask_, DType::kF32, first, count, device);
  }
  if (token_mask_ >= 0) {
    batch.token_mask = sequences(base, token_mask_, DType::kU8, first, count, device);
  }
  batch.denominator = view_of(denominators(base) + micro_batch, DType::kF32, {1}, device);
  return batch;
}

}  // namespace moiety
