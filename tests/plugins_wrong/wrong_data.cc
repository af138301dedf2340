// Data sources that are wrong in one way each; see wrong_gating.cc.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include <moiety/data_source.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

enum class Bug { kFields, kRepeatable, kWritten, kBounds, kIds, kOrder, kThreads, kResume };

struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

constexpr int64_t kLength = 5, kVocabulary = 50;

template <Bug bug>
class Counting final : public DataSource {
 public:
  using Options = NoOptions;
  Counting(const Options&, const ModelDims&) {
    static std::atomic<int32_t> instances = 0;
    if (bug == Bug::kResume) shift_ = instances++;
  }

  int64_t size(Split split) const override { return split == Split::kTrain ? 60 : 0; }
  std::vector<Field> fields() const override {
    return {{"tokens", DType::kI32, {kLength}, kVocabulary},
            {bug == Bug::kFields ? "tokens" : "targets", DType::kI32, {kLength}, kVocabulary}};
  }

  void fill(Split, int64_t sample, std::span<const TensorView> rows) const override {
    const auto first = static_cast<int32_t>(sample) + shift_;
    calls_ += 1;
    for (size_t f = 0; f < rows.size(); ++f) {
      int32_t* out = rows[f].template data<int32_t>();
      for (int32_t i = 0; i < kLength; ++i) {
        if (bug == Bug::kWritten && i == kLength - 1) continue;
        out[i] = value(first + static_cast<int32_t>(f) + i);
      }
      if (bug == Bug::kThreads) {  // by way of memory that all threads share
        std::copy_n(out, kLength, shared_);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        std::copy_n(shared_, kLength, out);
      }
      if (bug == Bug::kBounds) out[kLength] = 0;
    }
    last_ = sample;
  }

 private:
  int32_t value(int32_t n) const {
    if (bug == Bug::kRepeatable) n += calls_;
    if (bug == Bug::kOrder) n += last_ >= 20 ? 1 : 0;
    return n % (bug == Bug::kIds ? kVocabulary + 1 : kVocabulary);
  }
  int32_t shift_ = 0;
  mutable std::atomic<int32_t> calls_ = 0;
  mutable std::atomic<int64_t> last_ = 0;
  mutable int32_t shared_[kLength] = {};
};

}  // namespace

MOIETY_PLUGIN("wrong", "1.0.0") {
  plugin.add<Counting<Bug::kFields>>("wrong_fields", "names two fields alike");
  plugin.add<Counting<Bug::kRepeatable>>("wrong_repeatable", "counts its calls");
  plugin.add<Counting<Bug::kWritten>>("wrong_written", "leaves the last token unwritten");
  plugin.add<Counting<Bug::kBounds>>("wrong_bounds", "writes one token too many");
  plugin.add<Counting<Bug::kIds>>("wrong_ids", "gives ids at the bound");
  plugin.add<Counting<Bug::kOrder>>("wrong_order", "remembers the sample before");
  plugin.add<Counting<Bug::kThreads>>("wrong_threads", "shares a buffer between threads");
  plugin.add<Counting<Bug::kResume>>("wrong_resume", "starts elsewhere in every instance");
}
