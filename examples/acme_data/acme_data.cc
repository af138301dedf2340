// Data source `acme`: sequences that count upwards by a stride. A model that sees the first two
// tokens knows the rest.
#include <moiety/data_source.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

class AcmeData final : public DataSource {
 public:
  struct Options {
    int64_t strides = 4, train_samples = 4096, validation_samples = 256;
    static void describe(Schema<Options>& s) {
      s.field("strides", &Options::strides, "sequences count by 1 up to this number")
          .range(1, 1024);
      s.field("train_samples", &Options::train_samples, "samples of an epoch").range(1, 1e9);
      s.field("validation_samples", &Options::validation_samples, "samples kept for evaluation")
          .range(0, 1e9);
    }
  };
  AcmeData(const Options& options, const ModelDims& dims)
      : options_(options), vocab_(dims.vocab), sequence_(dims.sequence) {
    if (vocab_ < 2) throw ConfigError("data source acme: needs a vocabulary of at least 2");
  }

  int64_t size(Split split) const override {
    if (split == Split::kTrain) return options_.train_samples;
    return split == Split::kValidation ? options_.validation_samples : 0;
  }

  // Ids are below the bound: the core checks it against the model's vocabulary.
  std::vector<Field> fields() const override {
    return {{"tokens", DType::kI32, {sequence_}, vocab_},
            {"targets", DType::kI32, {sequence_}, vocab_}};
  }

  // A pure function of the sample's number: called by any thread, in any order.
  void fill(Split split, int64_t sample, std::span<const TensorView> rows) const override {
    auto* tokens = rows[0].data<int32_t>();
    auto* targets = rows[1].data<int32_t>();
    const int64_t stride = 1 + sample % options_.strides;
    const int64_t first = sample / options_.strides * 7 + (split == Split::kTrain ? 0 : 3);
    for (int64_t t = 0; t < sequence_; ++t) {
      tokens[t] = static_cast<int32_t>((first + t * stride) % vocab_);
      targets[t] = static_cast<int32_t>((first + (t + 1) * stride) % vocab_);
    }
  }

 private:
  Options options_;
  int64_t vocab_, sequence_;
};

}  // namespace

MOIETY_PLUGIN("acme", "0.1.0") {
  plugin.add<AcmeData>("acme", "Sequences that count upwards by a stride");
}
