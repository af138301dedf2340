// Scopes are kept as a list with parents; times are read when everything has run.
#include "core/device/phase_timer.h"

#include <algorithm>
#include <chrono>

#include "core/device/build.h"
#include "core/device/nvtx.h"

namespace moiety {

namespace {

using Clock = std::chrono::steady_clock;

struct Point {
  explicit Point(const DeviceContext& context)
      : event(context.device()), on_cuda(context.device().type == DeviceType::kCuda) {
    if (on_cuda) event.record(context);
    time = Clock::now();
  }
  double milliseconds_since(const Point& since) const {
    if (on_cuda) return static_cast<double>(event.milliseconds_since(since.event));
    return host_milliseconds_since(since);
  }
  double host_milliseconds_since(const Point& since) const {
    return std::chrono::duration<double, std::milli>(time - since.time).count();
  }
  Event event;
  Clock::time_point time;
  bool on_cuda;
};

struct Scope {
  const char* name;
  int64_t parent;
  Point begin;
  std::unique_ptr<Point> end;

  PhaseSpan span(const Point& origin) const {
    constexpr double kMicro = 1e3;
    return {name, kMicro * begin.host_milliseconds_since(origin),
            kMicro * end->host_milliseconds_since(origin),
            kMicro * begin.milliseconds_since(origin), kMicro * end->milliseconds_since(origin)};
  }
};

}  // namespace

struct PhaseTimer::Impl {
  const DeviceContext* context;
  std::vector<Scope> scopes;
  int64_t open = -1;  // the innermost
};

PhaseTimer::PhaseTimer(const DeviceContext& context)
    : impl_(std::make_unique<Impl>(Impl{&context, {}, -1})) {}
PhaseTimer::~PhaseTimer() = default;

void PhaseTimer::begin(const char* name) {
  impl_->scopes.push_back({name, impl_->open, Point(*impl_->context), nullptr});
  impl_->open = static_cast<int64_t>(impl_->scopes.size()) - 1;
  if constexpr (kCuda) nvtx_push(name);
}

void PhaseTimer::end() {
  if constexpr (kCuda) nvtx_pop();
  Scope& scope = impl_->scopes[static_cast<size_t>(impl_->open)];
  scope.end = std::make_unique<Point>(*impl_->context);
  impl_->open = scope.parent;
}

std::vector<PhaseTime> PhaseTimer::collect(std::vector<PhaseSpan>* spans) {
  impl_->context->synchronize();
  const std::vector<Scope>& scopes = impl_->scopes;
  std::vector<double> own(scopes.size(), 0.0);
  for (size_t i = 0; i < scopes.size(); ++i) {
    if (scopes[i].end == nullptr) continue;
    const double spent = scopes[i].end->milliseconds_since(scopes[i].begin);
    own[i] += spent;
    if (spans != nullptr) spans->push_back(scopes[i].span(scopes.front().begin));
    if (scopes[i].parent >= 0) own[static_cast<size_t>(scopes[i].parent)] -= spent;
  }
  std::vector<PhaseTime> phases;
  for (size_t i = 0; i < scopes.size(); ++i) {
    const auto phase = std::find_if(phases.begin(), phases.end(),
                                    [&](const PhaseTime& p) { return p.name == scopes[i].name; });
    if (phase == phases.end()) {
      phases.push_back({scopes[i].name, own[i], 1});
      continue;
    }
    phase->milliseconds += own[i];
    phase->calls += 1;
  }
  impl_->scopes.clear();
  impl_->open = -1;
  return phases;
}

void add_phases(const std::vector<PhaseTime>& more, std::vector<PhaseTime>& phases) {
  for (const PhaseTime& time : more) {
    const auto same = std::find_if(phases.begin(), phases.end(),
                                   [&](const PhaseTime& p) { return p.name == time.name; });
    if (same == phases.end()) {
      phases.push_back(time);
      continue;
    }
    same->milliseconds += time.milliseconds;
    same->calls += time.calls;
  }
}

}  // namespace moiety
