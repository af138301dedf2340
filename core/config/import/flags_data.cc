// Where the tokens come from.
#include <string>

#include "core/config/import/flags.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne, kMany = Arity::kMany;

void data_path(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--data-path");
  if (flag == nullptr || c.given.has("--mock-data")) return;
  if (!c.out.has_type("data", "indexed")) {
    return c.out.refuse(flag->text(),
                        "needs a reader of Megatron's .bin and .idx files (data source 'indexed'), "
                        "which is not installed");
  }
  std::string files;
  for (const std::string& word : flag->values) {
    files += (files.empty() ? "" : ", ") + string_text(word);
  }
  c.out.set_type("data", "indexed", flag->text());
  c.out.set("data.params.files", "[" + files + "]", flag->text());
  if (c.given.has("--split")) {
    c.out.set("data.params.split", string_text(c.given.value("--split")),
              c.given.find("--split")->text());
  }
}

void split(const FlagContext& c) {
  if (!c.given.has("--split") || c.out.has_type("data", "indexed")) return;
  c.out.refuse(c.given.find("--split")->text(), "belongs to --data-path");
}

/// Rows whose input ends a document. GPT-2's token for it is the last of its vocabulary.
void end_of_document(const FlagContext& c) {
  const std::string kind = c.given.value("--tokenizer-type", "GPT2BPETokenizer");
  if (kind != "GPT2BPETokenizer") {
    return c.out.refuse("--eod-mask-loss", "the token that ends a document is not known for " +
                                               kind + "; objective.params.end_of_document_token");
  }
  c.out.set("objective.params.end_of_document_token", "50256", "--eod-mask-loss");
}

/// Documents are told apart by the token that ends them, whose row has no loss then.
void documents(const FlagContext& c) {
  const bool known = c.given.has("--eod-mask-loss");
  const auto set = [&](const char* flag, const char* key, const char* note) {
    if (!c.given.has(flag)) return;
    if (known) return c.out.set(key, "true", flag, note);
    c.out.refuse(flag, "needs --eod-mask-loss, which says what token ends a document");
  };
  set("--reset-attention-mask", "model.documents.attend_within",
      "Megatron ignores --reset-attention-mask with flash attention.");
  set("--reset-position-ids", "model.documents.restart_positions", "");
  if (known && c.given.has("--reset-attention-mask") && !c.given.has("--reset-position-ids")) {
    c.out.set("model.documents.restart_positions", "false", "Megatron's default");
  }
}

void mock(const FlagContext& c) { c.out.set_type("data", "synthetic", "--mock-data"); }

constexpr const char* kIds = "data holds token ids already; nothing is tokenized in training";
constexpr const char* kReader = "about how files are read";

const Flag kFlags[] = {
    part("--mock-data", kNone, mock),
    part("--data-path", kMany, data_path),
    refused("--train-data-path", kMany, "needs a data source for each split"),
    refused("--valid-data-path", kMany, "needs a data source for each split"),
    refused("--test-data-path", kMany, "needs a data source for each split"),
    part("--split", kOne, split),
    nothing("--vocab-file", kOne, kIds),
    nothing("--merge-file", kOne, kIds),
    nothing("--tokenizer-model", kOne, kIds),
    nothing("--data-impl", kOne, kReader),
    nothing("--mmap-warmup", kNone, kReader),
    nothing("--num-workers", kOne, kReader),
    nothing("--data-cache-path", kOne, kReader),
    nothing("--dataloader-type", kOne, "samples come in a seeded order, each once an epoch"),
    part("--eod-mask-loss", kNone, end_of_document),
    part("--reset-position-ids", kNone, documents),
    part("--reset-attention-mask", kNone, documents),
};

}  // namespace

std::span<const Flag> data_flags() { return kFlags; }

}  // namespace moiety::config
