#include "core/train/batch_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include <moiety/teacher.h>

namespace moiety {

namespace {

[[noreturn]] void refuse(const Field& field, const std::string& expected) {
  throw ConfigError(fmt::format("data source: field {} is {} [{}], ids below {}; expected {}",
                                field.name, name_of(field.dtype), fmt::join(field.shape, ", "),
                                field.bound, expected));
}

}  // namespace

int64_t end_of_document_token(const Objective& objective) {
  const auto* token = static_cast<const int64_t*>(objective.facet(kEndOfDocumentFacet));
  return token == nullptr ? -1 : *token;
}

void check_fields(const RunConfig& config, const DataSource& source) {
  const std::vector<Field> fields = source.fields();
  const auto has = [&](const char* name) {
    return std::any_of(fields.begin(), fields.end(),
                       [&](const Field& field) { return field.name == name; });
  };
  const bool reads_images = config.model.type == "classifier";
  const char* wrong = reads_images ? "tokens" : "image";
  if (!has(wrong) || has(reads_images ? "image" : "tokens")) return;
  const std::string place = place_of(config, "data.type") + ": " + config.data.type;
  if (reads_images) {
    throw ConfigError(place +
                      " gives tokens, but model.type classifier reads images and labels; set "
                      "model.type=gpt, or choose another data.type");
  }
  throw ConfigError(place + " gives images and labels, but model.type " + config.model.type +
                    " reads tokens and targets; set model.type=classifier, or choose another "
                    "data.type");
}

int64_t BatchLayout::Piece::elements() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

BatchLayout::Member BatchLayout::piece_named(const std::string& name) {
  if (name == "tokens") return &BatchLayout::tokens_;
  if (name == "targets" || name == "label") return &BatchLayout::targets_;
  if (name == "loss_mask") return &BatchLayout::loss_mask_;
  if (name == "token_mask") return &BatchLayout::token_mask_;
  return name == "image" ? &BatchLayout::image_ : nullptr;
}

void BatchLayout::place(Piece& piece, int64_t& end) {
  piece.offset = end;
  const int64_t bytes = shape_.samples() * piece.elements() * size_of(piece.dtype);
  end += (bytes + 255) / 256 * 256;
}

BatchLayout::BatchLayout(const BatchShape& shape, const DataSource& source, int64_t vocab,
                         int64_t end_of_document)
    : shape_(shape), end_of_document_(end_of_document) {
  const std::vector<int64_t> row{shape.length};
  for (Piece* piece : {&tokens_, &targets_, &loss_mask_, &token_mask_}) piece->shape = row;
  loss_mask_.dtype = DType::kF32;
  token_mask_.dtype = image_.dtype = DType::kU8;
  int64_t end = 0;
  for (const Field& field : source.fields()) {
    const Member member = piece_named(field.name);
    if (member == nullptr || (this->*member).offset >= 0) {
      refuse(field, "one of tokens, targets, loss_mask, token_mask, image, label, each once");
    }
    Piece& piece = this->*member;
    const bool is_image = member == &BatchLayout::image_;
    if (is_image && field.shape.size() == 3) piece.shape = field.shape;
    if (field.dtype != piece.dtype || field.shape != piece.shape) {
      refuse(field, is_image ? "u8 [C, H, W]"
                             : fmt::format("{} [{}] (model.sequence_length)", name_of(piece.dtype),
                                           shape.length));
    }
    if (piece.dtype == DType::kI32 && field.bound > vocab) {
      refuse(field, fmt::format("ids below model.vocab_size = {}; set model.vocab_size={}", vocab,
                                field.bound));
    }
    place(piece, end);
    fields_.push_back(member);
  }
  if (targets_.offset < 0 || (tokens_.offset < 0) == (image_.offset < 0)) {
    throw ConfigError(
        "data source: a language model needs the fields tokens and targets, a model of images "
        "image and label; one of them is missing");
  }
  source_has_mask_ = loss_mask_.offset >= 0;
  if (end_of_document >= 0 && tokens_.offset >= 0 && !source_has_mask_) place(loss_mask_, end);
  denominators_ = end;
  bytes_ = static_cast<size_t>(end + shape.micro_batches * 4);
}

TensorView BatchLayout::samples(const Piece& piece, void* base, int64_t first, int64_t count,
                                Device device) const {
  char* at =
      static_cast<char*>(base) + piece.offset + first * piece.elements() * size_of(piece.dtype);
  const std::vector<int64_t>& s = piece.shape;
  if (s.size() == 3) return view_of(at, piece.dtype, {count, s[0], s[1], s[2]}, device);
  return view_of(at, piece.dtype, {count, s[0]}, device);
}

std::vector<TensorView> BatchLayout::rows_of(void* base, int64_t slot) const {
  std::vector<TensorView> rows;
  for (const Member member : fields_) {
    const TensorView one = samples(this->*member, base, slot, 1, {});
    rows.push_back(one.rank == 4 ? one.reshape({one.dim(1), one.dim(2), one.dim(3)})
                                 : one.reshape({one.dim(1)}));
  }
  return rows;
}

void BatchLayout::finish(void* base, int64_t micro_batch) const {
  if (end_of_document_ < 0 || tokens_.offset < 0) return;
  const MicroBatch batch = view(base, micro_batch, {});
  const auto* tokens = batch.tokens.data<int32_t>();
  auto* mask =
      samples(loss_mask_, base, micro_batch * shape_.sequences, shape_.sequences, {}).data<float>();
  for (int64_t i = 0; i < batch.tokens.numel(); ++i) {
    if (!source_has_mask_) mask[i] = 1;
    if (tokens[i] == end_of_document_) mask[i] = 0;
  }
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
  const auto of = [&](const Piece& piece) -> TensorView {
    return piece.offset < 0 ? TensorView{} : samples(piece, base, first, count, device);
  };
  MicroBatch batch;
  batch.tokens = of(tokens_);
  batch.targets = of(targets_);
  batch.loss_mask = of(loss_mask_);
  batch.token_mask = of(token_mask_);
  batch.image = of(image_);
  batch.denominator = view_of(denominators(base) + micro_batch, DType::kF32, {1}, device);
  return batch;
}

}  // namespace moiety
