#include "core/train/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/log.h"
#include "core/base/strings.h"

namespace moiety {

namespace {
constexpr double kRefresh = 0.1;       // seconds between two states of the live line
constexpr double kPlainInterval = 10;  // seconds between plain lines, unless steps_per_print
}  // namespace

std::string clock_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(seconds, 0.0)));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

Progress::Progress(const RunConfig& config, bool live, int64_t done_steps, int64_t done_tokens,
                   double done_seconds)
    : config_(config),
      live_(live),
      first_step_(done_steps),
      first_tokens_(done_tokens),
      every_(config.steps_per_print),
      first_seconds_(done_seconds) {}

double Progress::seconds_left(const StepRecord& record, double seconds) const {
  // The limit that comes first, at the pace so far.
  double left = INFINITY;
  const double spent = std::max(seconds - first_seconds_, 1e-9);
  const RunSection& run = config_.run;
  if (run.steps > 0) {
    const auto done = static_cast<double>(std::max<int64_t>(record.step - first_step_, 1));
    left = std::min(left, spent / done * static_cast<double>(run.steps - record.step));
  }
  if (run.tokens > 0) {
    const auto done = static_cast<double>(std::max<int64_t>(record.tokens - first_tokens_, 1));
    left = std::min(left, spent / done * static_cast<double>(run.tokens - record.tokens));
  }
  if (run.seconds > 0) left = std::min(left, run.seconds - seconds);
  return left;
}

std::string Progress::line(const StepRecord& r, double seconds) {
  if (std::isfinite(r.loss)) loss_ = loss_ == 0 ? r.loss : 0.9 * loss_ + 0.1 * r.loss;
  const double spent = std::max(seconds - first_seconds_, 1e-9);
  std::string text = fmt::format("step {}", r.step);
  if (config_.run.steps > 0) text += fmt::format("/{}", config_.run.steps);
  text += fmt::format("  loss {:.4f}", std::isfinite(r.loss) ? loss_ : r.loss);
  text += fmt::format("  {} tokens/s",
                      short_count(static_cast<double>(r.tokens - first_tokens_) / spent));
  if (!r.numbers.layers.empty()) {
    text += fmt::format("  balance {:.2f}  dropped {:.1f}%", worst_imbalance(r.numbers),
                        100 * mean_drop_rate(r.numbers));
    if (dead_experts(r.numbers) > 0) text += fmt::format("  dead {}", dead_experts(r.numbers));
  }
  if (r.skipped) text += "  skipped";
  const double left = seconds_left(r, seconds);
  if (std::isfinite(left)) text += "  ETA " + clock_text(left);
  return text;
}

void Progress::show(const StepRecord& record, double seconds) {
  const std::string text = line(record, seconds);  // also keeps the running mean
  const bool last = record.step == config_.run.steps;
  if (live_) {
    if (!last && seconds - shown_at_ < kRefresh && open_) return;
    std::printf("\r%-*s", static_cast<int>(width_), text.c_str());
    std::fflush(stdout);
    width_ = text.size();
    open_ = true;
  } else {
    const bool due = every_ > 0 ? record.step % every_ == 0
                                : shown_at_ == 0 || seconds - shown_at_ >= kPlainInterval;
    if (!due && !last) return;
    log::info(text);
  }
  shown_at_ = seconds;
}

void Progress::finish_line() {
  if (!open_) return;
  std::printf("\n");
  std::fflush(stdout);
  open_ = false;
}

}  // namespace moiety
