#include "core/config/scheduler_rules.h"

#include <string>
#include <string_view>
#include <vector>

#include "core/config/scalar.h"

namespace moiety::config {
namespace {

const std::string kParams = "scheduler.params";

/// The options of a schedule that was read without errors so far.
class Megatron {
 public:
  explicit Megatron(Draft& d) : d_(d) {}

  void check() {
    if (!d_.report.ok(kParams) || !check_units()) return;
    check_lengths();
    check_rates();
  }

 private:
  const Value& value(const std::string& name) const {
    return *find_option(d_.config.scheduler_options, name);
  }
  int64_t count(const std::string& name) const { return std::get<int64_t>(value(name)); }
  double number(const std::string& name) const { return std::get<double>(value(name)); }
  bool is(const std::string& name, const char* text) const {
    return std::get<std::string>(value(name)) == text;
  }
  void complain(const std::string& name, const std::string& problem) {
    const std::string path = child_path(kParams, name);
    d_.report.add(d_.where({path, kParams, "scheduler"}), path, problem);
  }

  /// Which of _iters, _samples and _tokens is used: never two of them.
  bool check_units() {
    std::string first;
    for (const char* unit : {"iters", "samples", "tokens"}) {
      for (const char* part : {"lr_decay_", "lr_warmup_", "lr_wsd_decay_"}) {
        const std::string name = std::string(part) + unit;
        if (count(name) == 0) continue;
        if (first.empty()) first = name, unit_ = unit;
        if (unit_ == unit) continue;
        complain(name, "is in " + std::string(unit) + ", but " + first + " is in " + unit_ +
                           "; expected one unit for the whole schedule");
        return false;
      }
    }
    if (unit_.empty()) unit_ = "iters";
    return true;
  }

  void check_lengths() {
    if (is("lr_decay_style", "constant")) return;
    const std::string decay = "lr_decay_" + unit_, warmup = "lr_warmup_" + unit_;
    const int64_t end = count(decay), rise = count(warmup);
    if (end == 0) {
      complain(decay, "missing: where the rate is at min_lr; expected an integer above 0" +
                          std::string(unit_ == "iters" ? " (default: run.steps)" : ""));
      return;
    }
    if (rise > 0 && number("lr_warmup_fraction") > 0) {
      complain("lr_warmup_fraction", "is given beside " + warmup + "; expected one of the two");
    }
    if (rise >= end) {
      complain(warmup, "the warm-up of " + std::to_string(rise) + " " + unit_ +
                           " does not end before the schedule does, at " + std::to_string(end));
    }
    const std::string fall = "lr_wsd_decay_" + unit_;
    if (!is("lr_decay_style", "WSD")) {
      if (count(fall) > 0) complain(fall, "belongs to lr_decay_style WSD");
    } else if (count(fall) == 0) {
      complain(fall, "missing: WSD needs the length of its decay; expected an integer above 0");
    } else if (count(fall) > end - rise) {
      complain(fall, "the decay of " + std::to_string(count(fall)) + " " + unit_ +
                         " is longer than what the warm-up leaves of " + std::to_string(end) +
                         ", which is " + std::to_string(end - rise));
    }
  }

  void check_rates() {
    for (const char* name : {"min_lr", "lr_warmup_init"}) {
      if (number(name) <= d_.config.base_lr) continue;
      complain(name, float_text(number(name)) + " is above optimizer.params.lr = " +
                         float_text(d_.config.base_lr) + ", the highest rate of the schedule");
    }
  }

  Draft& d_;
  std::string unit_;
};

}  // namespace

void check_one_cycle(const TypeAndParams& given, Draft& d) {
  const OptionMap& options = d.config.scheduler_options;
  const Value* momentum = find_option(options, "cycle_momentum");
  if (momentum == nullptr || !std::get<bool>(*momentum)) return;
  const auto complain = [&](const std::string& name, const std::string& text) {
    const std::string path = kParams + "." + name;
    if (!d.report.ok(path)) return;
    const Mark mark = given.params == nullptr ? given.type_mark : given.params->mark;
    d.report.add(d.is_given(path) ? d.where({path}) : mark, path, text);
  };
  if (find_option(d.config.optimizer.options, "betas") == nullptr) {
    complain("cycle_momentum", "true, but optimizer '" + d.config.optimizer.type +
                                   "' has no betas to cycle; expected false");
  }
  const auto number = [&](const char* name) {
    return std::get<double>(*find_option(options, name));
  };
  const double least = number("cycle_min_mom"), most = number("cycle_max_mom");
  if (least > most) {
    complain("cycle_min_mom", float_text(least) + " is above cycle_max_mom = " + float_text(most));
  }
}

void check_megatron(Draft& d) { Megatron(d).check(); }

}  // namespace moiety::config
