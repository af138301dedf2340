#include "core/testing/expert_call.h"

#include <algorithm>
#include <limits>

#include "core/testing/subject.h"

namespace moiety::testing {

namespace {

/// Rows of `values` [T, D] where the layout wants them; NaN in rows that nobody may read.
std::vector<float> spread(const std::vector<float>& values, const std::vector<int32_t>& token) {
  std::vector<float> rows(token.size() * kModel, std::numeric_limits<float>::quiet_NaN());
  for (size_t r = 0; r < token.size(); ++r) {
    if (token[r] < 0) continue;
    std::copy_n(values.begin() + token[r] * kModel, kModel,
                rows.begin() + static_cast<int64_t>(r) * kModel);
  }
  return rows;
}

}  // namespace

ExpertInputs ExpertInputs::random(int64_t tokens, int64_t experts, uint32_t seed) {
  ExpertInputs in;
  in.tokens = tokens, in.experts = experts;
  in.choices = usual_choices(tokens, experts);
  in.x = normal(static_cast<size_t>(tokens * kModel), seed);
  in.dout = normal(in.x.size(), seed + 1);
  in.weight = normal(in.choices.size(), seed + 2);
  return in;
}

ExpertCall::ExpertCall(const DeviceContext& context, const ExpertType& type,
                       ComponentParameters& values, const ExpertInputs& given,
                       const ExpertCallOptions& how)
    : expert(type),
      parameters(values),
      in(given),
      options(how),
      plan(lay_out(in.choices, in.tokens, in.experts, how.layout)),
      bench(context, {how.compute, how.poison}) {
  const auto G = static_cast<int64_t>(plan.start.size());
  const auto N = static_cast<int64_t>(plan.row.size());
  batch.start = bench.put(plan.start, {G});
  batch.count = bench.put(plan.count, {G});
  batch.row = bench.put(plan.row, {N});
  batch.x = bench.put(spread(in.x, plan.token), {plan.rows, kModel}, how.compute);
  if (how.layout == SlotLayout::kReceived) {
    batch.row_id =
        bench.put(std::vector<int64_t>(plan.token.begin(), plan.token.end()), {plan.rows});
  }
  dout = bench.put(spread(in.dout, plan.token), {plan.rows, kModel}, how.compute);
  if (how.with_weight) {
    std::vector<float> weight(plan.row.size(), std::numeric_limits<float>::quiet_NaN());
    for (size_t i = 0; i < in.choices.size(); ++i) {
      weight[static_cast<size_t>(plan.slot[i])] = in.weight[i];
    }
    batch.weight = bench.put(weight, {N});
  }
  y = bench.make(how.compute, {N, kModel});
  dx = bench.make(how.compute, {N, kModel});
  if (how.with_dweight) dweight = bench.make(DType::kF32, {N});
}

std::vector<float> ExpertCall::by_choice(const TensorView& slots) {
  const std::vector<float> all = bench.floats(slots);
  const size_t width = slots.rank == 2 ? static_cast<size_t>(slots.dim(1)) : 1;
  std::vector<float> chosen;
  for (const int32_t slot : plan.slot) {
    const auto from = all.begin() + static_cast<int64_t>(static_cast<size_t>(slot) * width);
    chosen.insert(chosen.end(), from, from + static_cast<int64_t>(width));
  }
  return chosen;
}

void ExpertCall::forward() {
  bench.forget();
  bench.call(
      [&](Exec& exec) { expert.forward(exec, batch, parameters.params(), y, bench.saved()); });
  y_choice = by_choice(y);
}

void ExpertCall::backward() {
  bench.call([&](Exec& exec) {
    expert.backward(exec, batch, parameters.params(), bench.saved(), dout, dx, dweight);
  });
  dx_choice = by_choice(dx);
  if (dweight) dweight_choice = by_choice(dweight);
}

void ExpertCall::launch() {
  bench.forget();
  bench.call(
      [&](Exec& exec) { expert.forward(exec, batch, parameters.params(), y, bench.saved()); });
  bench.call([&](Exec& exec) {
    expert.backward(exec, batch, parameters.params(), bench.saved(), dout, dx, dweight);
  });
}

std::vector<float> ExpertCall::results() {
  std::vector<float> all = by_choice(y);
  for (const std::vector<float>& more : {by_choice(dx), by_choice(dweight)}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

double ExpertCall::loss() const {
  double sum = 0;
  for (size_t i = 0; i < in.choices.size(); ++i) {
    const auto t = static_cast<size_t>(in.choices[i].token) * kModel;
    const double weight = options.with_weight ? in.weight[i] : 1;
    for (size_t d = 0; d < kModel; ++d) {
      sum += weight * in.dout[t + d] * static_cast<double>(y_choice[i * kModel + d]);
    }
  }
  return sum;
}

std::vector<float> ExpertCall::dtokens() const {
  std::vector<float> sums(in.x.size(), 0);
  for (size_t i = 0; i < in.choices.size(); ++i) {
    const auto t = static_cast<size_t>(in.choices[i].token) * kModel;
    for (size_t d = 0; d < kModel; ++d) sums[t + d] += dx_choice[i * kModel + d];
  }
  return sums;
}

bool ExpertCall::padding_untouched() {
  for (const TensorView& slots : {y, dx, dweight}) {
    if (!slots) continue;
    const std::vector<uint8_t> now = bench.bytes(slots);
    const size_t width = now.size() / std::max<size_t>(plan.row.size(), 1);
    for (size_t n = 0; n < plan.row.size(); ++n) {
      if (plan.row[n] >= 0) continue;
      const auto begin = now.begin() + static_cast<int64_t>(n * width);
      const bool same = std::all_of(begin, begin + static_cast<int64_t>(width),
                                    [&](uint8_t b) { return b == options.poison; });
      if (!same) return false;
    }
  }
  return true;
}

}  // namespace moiety::testing
