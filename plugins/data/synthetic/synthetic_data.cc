// Token streams made from a seed: no files, any size, and an entropy that is known.
#include <moiety/data_source.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

struct Options {
  std::string pattern = "markov";
  int64_t branching = 4, seed = 1;
  int64_t train_samples = 4096, validation_samples = 256;
  static void describe(Schema<Options>& s) {
    s.field("pattern", &Options::pattern,
            "markov: each token has `branching` equally likely successors (entropy ln branching); "
            "uniform: independent tokens (entropy ln vocabulary)")
        .one_of({"markov", "uniform"});
    s.field("branching", &Options::branching, "successors of a token, for markov").range(1, 65536);
    s.field("seed", &Options::seed, "another seed, another stream").range(0, 1e15);
    s.field("train_samples", &Options::train_samples, "samples of an epoch").range(1, 1e12);
    s.field("validation_samples", &Options::validation_samples, "samples kept for evaluation")
        .range(0, 1e12);
  }
};

/// splitmix64 (Steele et al., 2014): a well-mixed function of its argument.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

class Synthetic final : public DataSource {
 public:
  using Options = ::Options;

  Synthetic(const Options& options, const ModelDims& dims)
      : options_(options), vocab_(dims.vocab), sequence_(dims.sequence) {
    if (vocab_ < 1 || sequence_ < 1) {
      throw ConfigError("vocabulary and sequence length must be above 0");
    }
  }

  int64_t size(Split split) const override {
    if (split == Split::kTrain) return options_.train_samples;
    return split == Split::kValidation ? options_.validation_samples : 0;
  }

  std::vector<Field> fields() const override {
    return {{"tokens", DType::kI32, {sequence_}, vocab_},
            {"targets", DType::kI32, {sequence_}, vocab_}};
  }

  void fill(Split split, int64_t sample, std::span<const TensorView> rows) const override {
    auto* tokens = rows[0].data<int32_t>();
    auto* targets = rows[1].data<int32_t>();
    const uint64_t stream =
        mix(mix(mix(static_cast<uint64_t>(options_.seed)) + static_cast<uint64_t>(split)) +
            static_cast<uint64_t>(sample));
    int32_t token = below_vocab(mix(stream));
    for (int64_t t = 0; t < sequence_; ++t) {
      tokens[t] = token;
      token = successor(token, mix(stream + static_cast<uint64_t>(t) + 1));
      targets[t] = token;
    }
  }

 private:
  int32_t below_vocab(uint64_t noise) const {
    return static_cast<int32_t>(noise % static_cast<uint64_t>(vocab_));
  }

  int32_t successor(int32_t token, uint64_t noise) const {
    if (options_.pattern == "uniform") return below_vocab(noise);
    const uint64_t branch = noise % static_cast<uint64_t>(options_.branching);
    return below_vocab(mix(mix(static_cast<uint64_t>(options_.seed) ^ 0x5ca1ab1eull) +
                           static_cast<uint64_t>(token) * 65536 + branch));
  }

  Options options_;
  int64_t vocab_, sequence_;
};

}  // namespace

MOIETY_PLUGIN("synthetic", "1.0.0") {
  plugin.add<Synthetic>("synthetic", "seeded token streams: a learnable Markov chain, or uniform");
}
