// Bytes of text files as tokens: sample i is the window of S + 1 bytes at i * S.
#include <cstring>

#include <moiety/data_source.h>
#include <moiety/plugin.h>

#include "mapped_files.h"

namespace {

using namespace moiety;

struct Options {
  std::vector<std::string> files;
  double validation_fraction = 0.05;
  static void describe(Schema<Options>& s) {
    s.field("files", &Options::files, "files, or folders whose files are read in path order")
        .example(std::vector<std::string>{"/proc/self/exe"});
    s.field("validation_fraction", &Options::validation_fraction,
            "share of the windows, spread evenly over the text, that is never trained on")
        .range(0, 0.9);
  }
};

class Text final : public DataSource {
 public:
  using Options = ::Options;

  Text(const Options& options, const ModelDims& dims)
      : sequence_(dims.sequence), bytes_(text::list_files(options.files)) {
    if (sequence_ < 1) throw ConfigError("the sequence length must be above 0");
    const int64_t windows = (bytes_.size() - 1) / sequence_;
    validation_ = static_cast<int64_t>(static_cast<double>(windows) * options.validation_fraction);
    train_ = windows - validation_;
    if (bytes_.size() <= sequence_ || train_ < 1) {
      throw ConfigError("data.params.files hold " + std::to_string(bytes_.size()) +
                        " bytes, expected more than " + std::to_string(sequence_) +
                        " (one window of model.sequence_length + 1 bytes)");
    }
  }

  int64_t size(Split split) const override {
    return split == Split::kTrain ? train_ : split == Split::kValidation ? validation_ : 0;
  }

  std::vector<Field> fields() const override {
    return {{"tokens", DType::kI32, {sequence_}, 256}, {"targets", DType::kI32, {sequence_}, 256}};
  }

  void fill(Split split, int64_t sample, std::span<const TensorView> rows) const override {
    const int64_t window = split == Split::kTrain ? train_window(sample) : held_out(sample);
    auto* tokens = rows[0].data<int32_t>();
    auto* targets = rows[1].data<int32_t>();
    int64_t at = 0;
    bytes_.visit(window * sequence_, sequence_ + 1, [&](const unsigned char* data, int64_t n) {
      for (int64_t i = 0; i < n; ++i, ++at) {
        if (at < sequence_) tokens[at] = data[i];
        if (at > 0) targets[at - 1] = data[i];
      }
    });
  }

 private:
  /// Window of validation sample j: the middle of the j-th of equal parts of the text.
  int64_t held_out(int64_t j) const {
    return (2 * j + 1) * (train_ + validation_) / (2 * validation_);
  }
  /// The i-th window that is not held out.
  int64_t train_window(int64_t i) const {
    int64_t low = 0, high = validation_;  // how many held-out windows lie before it
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (held_out(middle) - middle <= i) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return i + low;
  }

  int64_t sequence_;
  text::MappedFiles bytes_;
  int64_t train_ = 0, validation_ = 0;
};

}  // namespace

MOIETY_PLUGIN("text", "1.0.0") {
  plugin.add<Text>("text", "bytes of text files, memory-mapped; vocabulary 256");
}
