#include "core/train/profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/strings.h"

namespace moiety {

namespace {

enum Lane : int { kDevice = 0, kHost = 1 };

Json lane_name(Lane lane, const char* name) {
  return Json::Object{{"name", "thread_name"},
                      {"ph", "M"},
                      {"pid", 0},
                      {"tid", static_cast<int>(lane)},
                      {"args", Json::Object{{"name", name}}}};
}

Json complete_event(const std::string& name, Lane lane, double begin, double end, int64_t step) {
  return Json::Object{{"name", name},
                      {"ph", "X"},
                      {"pid", 0},
                      {"tid", static_cast<int>(lane)},
                      {"ts", begin},
                      {"dur", end - begin},
                      {"args", Json::Object{{"step", step}}}};
}

}  // namespace

void StepProfile::add(int64_t step, PhaseTimer& timer) {
  std::vector<PhaseSpan> spans;
  add_phases(timer.collect(&spans), phases_);
  ++steps_;
  const double from = end_;
  for (const PhaseSpan& span : spans) {
    events_.push_back(
        complete_event(span.name, kDevice, from + span.device_begin, from + span.device_end, step));
    events_.push_back(
        complete_event(span.name, kHost, from + span.host_begin, from + span.host_end, step));
    end_ = std::max({end_, from + span.device_end, from + span.host_end});
  }
}

std::string StepProfile::table(int64_t tokens) const {
  std::vector<PhaseTime> phases = phases_;
  std::stable_sort(phases.begin(), phases.end(), [](const PhaseTime& a, const PhaseTime& b) {
    return a.milliseconds > b.milliseconds;
  });
  double total = 0;
  for (const PhaseTime& p : phases) total += p.milliseconds;
  const auto n = static_cast<double>(steps_);
  std::string text =
      fmt::format("{:<28}{:>12}{:>9}{:>9}\n", "phase", "ms a step", "share", "calls");
  for (const PhaseTime& p : phases) {
    text += fmt::format("{:<28}{:>12.3f}{:>8.1f}%{:>9}\n", p.name, p.milliseconds / n,
                        100 * p.milliseconds / total, p.calls / steps_);
  }
  text += fmt::format("{:<28}{:>12.3f}  = {} tokens/s over {} step(s)\n", "total", total / n,
                      short_count(1e3 * static_cast<double>(tokens) * n / total), steps_);
  return text;
}

std::string StepProfile::chrome_trace() const {
  Json::Array events{lane_name(kDevice, "device"), lane_name(kHost, "host")};
  events.insert(events.end(), events_.begin(), events_.end());
  return Json(Json::Object{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}).dump() +
         "\n";
}

}  // namespace moiety
