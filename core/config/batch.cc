// train_batch_size = train_micro_batch_size_per_gpu * gradient_accumulation_steps * ranks.
#include <string>

#include "core/config/rules.h"

namespace moiety::config {
namespace {

constexpr const char* kTrain = "train_batch_size";
constexpr const char* kMicro = "train_micro_batch_size_per_gpu";
constexpr const char* kSteps = "gradient_accumulation_steps";

std::string text(int64_t n) { return std::to_string(n); }

class Triangle {
 public:
  explicit Triangle(Draft& d) : d_(d), c_(d.config), ranks_(d.config.world_size) {}

  void resolve() {
    const bool train = d_.is_given(kTrain), micro = d_.is_given(kMicro);
    const bool steps = d_.is_given(kSteps);
    if (!train && !micro) {
      d_.report.add(d_.where({kSteps}), kTrain,
                    std::string("missing: ") + kTrain + " or " + kMicro + " is needed");
    } else if (train && micro && steps) {
      check();
    } else if (!train) {
      c_.train_batch_size = c_.micro_batch_size * c_.gradient_accumulation_steps * ranks_;
      derived(kTrain);
      if (!steps) derived(kSteps);
    } else if (micro) {
      divide(kSteps, c_.gradient_accumulation_steps, kMicro, c_.micro_batch_size);
    } else {
      divide(kMicro, c_.micro_batch_size, kSteps, c_.gradient_accumulation_steps);
      if (!steps) derived(kSteps);
    }
  }

 private:
  void derived(const char* path) {
    d_.sources[path] = "from " + text(c_.train_batch_size) + " = " + text(c_.micro_batch_size) +
                       " * " + text(c_.gradient_accumulation_steps) + " * " + text(ranks_) +
                       " ranks";
  }

  void divide(const char* path, int64_t& result, const char* known, int64_t value) {
    const int64_t product = value * ranks_;
    if (c_.train_batch_size % product != 0) {
      d_.report.add(d_.where({kTrain}), kTrain,
                    text(c_.train_batch_size) + " sequences cannot be divided evenly: " +
                        text(c_.train_batch_size) + " / (" + known + " " + text(value) + " * " +
                        text(ranks_) + " ranks) leaves " + text(c_.train_batch_size % product) +
                        "; expected a multiple of " + text(product));
      return;
    }
    result = c_.train_batch_size / product;
    derived(path);
  }

  void check() {
    const int64_t product = c_.micro_batch_size * c_.gradient_accumulation_steps * ranks_;
    if (c_.train_batch_size == product) return;
    d_.report.add(d_.where({kTrain}), kTrain,
                  text(c_.train_batch_size) + " != " + text(product) + " = " + kMicro + " " +
                      text(c_.micro_batch_size) + " * " + kSteps + " " +
                      text(c_.gradient_accumulation_steps) + " * " + text(ranks_) +
                      " ranks; remove one of the three");
  }

  Draft& d_;
  RunConfig& c_;
  int64_t ranks_;
};

}  // namespace

void resolve_batch(Draft& draft) {
  if (draft.ok({kTrain, kMicro, kSteps})) Triangle(draft).resolve();
}

}  // namespace moiety::config
