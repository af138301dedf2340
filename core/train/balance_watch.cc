#include "core/train/balance_watch.h"

#include <fmt/format.h>

#include <algorithm>

namespace moiety {

namespace {
constexpr double kDecay = 0.9;            // about ten steps
constexpr int64_t kFirst = 20;            // the router is random at the start
constexpr int64_t kPause = 50;            // steps between two warnings
constexpr double kRise = 1.5, kHigh = 2;  // of max / mean load
}  // namespace

std::optional<std::string> BalanceWatch::observe(const StepRecord& record) {
  if (record.numbers.layers.empty()) return std::nullopt;
  const double imbalance = worst_imbalance(record.numbers);
  smooth_ = seen_ == 0 ? imbalance : kDecay * smooth_ + (1 - kDecay) * imbalance;
  ++seen_;
  if (seen_ < kFirst) return std::nullopt;
  if (reference_ == 0) reference_ = smooth_;
  const int64_t dead = dead_experts(record.numbers);
  const bool rising = smooth_ > kHigh && smooth_ > kRise * reference_, dying = dead > dead_;
  reference_ = std::min(reference_, smooth_);
  if ((!rising && !dying) || seen_ < quiet_until_) return std::nullopt;
  quiet_until_ = seen_ + kPause;
  reference_ = smooth_;
  dead_ = dead;
  return fmt::format(
      "step {}: the busiest expert has {:.1f} times the mean load, {} expert(s) are "
      "dead; raise moe.moe_loss_coeff or moe.balance_loss_coeff",
      record.step, smooth_, dead);
}

}  // namespace moiety
