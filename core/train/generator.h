// Continues a text token by token: greedy, or drawn from the softmax at a temperature.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/model.h"

namespace moiety {

class MOIETY_API Generator {
 public:
  /// `exec` must be able to run the model; `sequence` = model.sequence_length.
  Generator(Model& model, Exec& exec, int64_t sequence, int64_t vocab);
  /// `count` tokens after `prompt` (at least one token). The last tokens that fit in a sequence are
  /// the context. Temperature 0 is greedy. The same seed gives the same text.
  std::vector<int32_t> generate(std::vector<int32_t> prompt, int64_t count, double temperature,
                                uint64_t seed);

 private:
  std::vector<float> next_logits(const std::vector<int32_t>& context);
  Model& model_;
  Exec& exec_;
  int64_t sequence_, vocab_;
  Buffer tokens_, mask_, logits_;
};

/// Bytes <-> tokens of a byte-level model.
MOIETY_API std::vector<int32_t> bytes_to_tokens(const std::string& text);
MOIETY_API std::string tokens_to_bytes(const std::vector<int32_t>& tokens);
/// Control characters and invalid UTF-8 made visible, so that a sample cannot upset a terminal.
MOIETY_API std::string printable(const std::string& text);

}  // namespace moiety
