#include "core/train/generator.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace moiety {

namespace {

/// In [0, 1), from splitmix64 (Steele et al., 2014).
double uniform_of(uint64_t seed, int64_t position) {
  uint64_t x = seed + static_cast<uint64_t>(position + 1) * 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

int32_t choose(const std::vector<float>& logits, double temperature, double uniform) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0) return static_cast<int32_t>(best - logits.begin());
  std::vector<double> weights;
  double total = 0;
  for (const float x : logits) {
    total += weights.emplace_back(std::exp(static_cast<double>(x - *best) / temperature));
  }
  double left = uniform * total;
  for (size_t i = 0; i < weights.size(); ++i) {
    left -= weights[i];
    if (left < 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(best - logits.begin());
}

/// Length of the UTF-8 character at `i`, or 0 when the bytes there are none.
size_t utf8_length(const std::string& s, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
  const size_t n = byte(i) < 0x80                       ? 1
                   : byte(i) >= 0xc2 && byte(i) < 0xe0  ? 2
                   : (byte(i) & 0xf0) == 0xe0           ? 3
                   : byte(i) >= 0xf0 && byte(i) <= 0xf4 ? 4
                                                        : 0;
  for (size_t k = 1; k < n; ++k) {
    if (i + k >= s.size() || (byte(i + k) & 0xc0) != 0x80) return 0;
  }
  return n;
}

}  // namespace

Generator::Generator(Model& model, Exec& exec, int64_t sequence, int64_t vocab)
    : model_(model),
      exec_(exec),
      sequence_(sequence),
      vocab_(vocab),
      tokens_(exec.device(), static_cast<size_t>(sequence) * sizeof(int32_t)),
      mask_(exec.device(), static_cast<size_t>(sequence)),
      logits_(exec.device(), static_cast<size_t>(vocab) * sizeof(float)) {}

std::vector<int32_t> Generator::generate(std::vector<int32_t> prompt, int64_t count,
                                         double temperature, uint64_t seed) {
  MOIETY_CHECK(!prompt.empty(), "generate: the prompt is empty; give at least one token");
  for (const int32_t token : prompt) {
    MOIETY_CHECK(token >= 0 && token < vocab_, "generate: token {} is not below the vocabulary {}",
                 token, vocab_);
  }
  std::vector<int32_t> text = std::move(prompt), context = text;
  const size_t given = text.size();
  for (int64_t i = 0; i < count; ++i) {
    if (static_cast<int64_t>(context.size()) > sequence_) {  // go on with the second half
      context.erase(context.begin(), context.end() - std::max<int64_t>(sequence_ / 2, 1));
    }
    const int32_t token = choose(next_logits(context), temperature, uniform_of(seed, i));
    text.push_back(token);
    context.push_back(token);
  }
  return {text.begin() + static_cast<std::ptrdiff_t>(given), text.end()};
}

std::vector<float> Generator::next_logits(const std::vector<int32_t>& context) {
  // Lengths in steps of 32: few shapes. Attention sees nothing of what follows the context, and the
  // mask keeps it from the places of experts.
  const auto used = static_cast<int64_t>(context.size());
  const int64_t length = std::min(sequence_, (used + 31) / 32 * 32);
  std::vector<int32_t> padded(static_cast<size_t>(length));
  std::copy(context.begin(), context.end(), padded.begin());
  std::vector<uint8_t> mask(static_cast<size_t>(length));
  std::fill_n(mask.begin(), context.size(), uint8_t{1});
  const DeviceContext& device = *exec_.impl().context;
  device.copy(tokens_.data(), padded.data(), padded.size() * sizeof(int32_t));
  device.copy(mask_.data(), mask.data(), mask.size());
  device.synchronize();
  {
    const ArenaScope scope(*exec_.impl().scratch);
    MicroBatch batch;
    batch.tokens = view_of(tokens_.data(), DType::kI32, {1, length}, exec_.device());
    batch.token_mask = view_of(mask_.data(), DType::kU8, {1, length}, exec_.device());
    const TensorView features = model_.features(exec_, batch, /*training=*/false);
    model_.feature_logits(exec_, features.slice(0, used - 1, 1),
                          view_of(logits_.data(), DType::kF32, {1, vocab_}, exec_.device()));
  }
  std::vector<float> row(static_cast<size_t>(vocab_));
  device.copy(row.data(), logits_.data(), row.size() * sizeof(float));
  device.synchronize();
  return row;
}

std::vector<int32_t> bytes_to_tokens(const std::string& text) {
  std::vector<int32_t> tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

std::string tokens_to_bytes(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += static_cast<char>(token);
  return text;
}

std::string printable(const std::string& text) {
  std::string shown;
  for (size_t i = 0; i < text.size();) {
    const size_t n = utf8_length(text, i);
    const auto byte = static_cast<unsigned char>(text[i]);
    if (n == 0 || (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += text.substr(i, n);
    }
    i += n == 0 ? 1 : n;
  }
  return shown;
}

}  // namespace moiety
