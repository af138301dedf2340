#include "core/bench/timing.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "core/bench/ground.h"
#include "core/ops/gemm.h"

namespace moiety::bench {

namespace {

double now_milliseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

Times summary(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  return {ms[ms.size() / 2], ms.front(), ms.back()};
}

std::vector<double> time_on_host(int iterations, const std::function<void(int)>& call) {
  std::vector<double> ms;
  for (int i = 0; i < iterations; ++i) {
    const double begin = now_milliseconds();
    call(i);
    ms.push_back(now_milliseconds() - begin);
  }
  return ms;
}

std::vector<double> time_by_events(const DeviceContext& context, int iterations,
                                   const std::function<void(int)>& call) {
  std::vector<Event> events;
  for (int i = 0; i <= iterations; ++i) events.emplace_back(context.device());
  events.front().record(context);
  for (int i = 0; i < iterations; ++i) {
    call(i);
    events[static_cast<size_t>(i) + 1].record(context);
  }
  events.back().wait();
  std::vector<double> ms;
  for (size_t i = 1; i < events.size(); ++i) {
    ms.push_back(static_cast<double>(events[i].milliseconds_since(events[i - 1])));
  }
  return ms;
}

}  // namespace

Times time_calls(const DeviceContext& context, int warm_up, int iterations,
                 const std::function<void(int)>& call) {
  for (int i = 0; i < warm_up; ++i) call(i);
  context.synchronize();
  const auto timed = [&](int i) { call(warm_up + i); };
  return summary(context.device().type == DeviceType::kCuda
                     ? time_by_events(context, iterations, timed)
                     : time_on_host(iterations, timed));
}

Ceilings measure_ceilings(DeviceContext& context) {
  const bool cuda = context.device().type == DeviceType::kCuda;
  const DType dtype = cuda ? DType::kBF16 : DType::kF32;
  const int64_t n = cuda ? 8192 : 2048;
  Ground ground(context, dtype);
  std::vector<TensorView> a, b, c;
  for (uint32_t i = 0; i < 3; ++i) {
    a.push_back(ground.random(dtype, {n, n}, 2 * i));
    b.push_back(ground.random(dtype, {n, n}, 2 * i + 1));
    c.push_back(ground.make(dtype, {n, n}));
  }
  const auto product = [&](int i) {
    const auto k = static_cast<size_t>(i % 3);
    ops::gemm(ground.exec(), a[k], b[k], c[k], {});
  };
  const double tera = 2.0 * static_cast<double>(n * n * n) / 1e12;
  Ceilings ceilings;
  ceilings.burst = tera / time_calls(context, 3, 25, product).median * 1e3;
  const double one = tera / ceilings.burst;  // seconds
  const int second = std::max(3, static_cast<int>(1 / one));
  ceilings.sustained = tera / time_calls(context, 2 * second, second, product).median * 1e3;
  return ceilings;
}

}  // namespace moiety::bench
