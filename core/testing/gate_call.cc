#include "core/testing/gate_call.h"

#include <algorithm>

#include "core/testing/subject.h"

namespace moiety::testing {

GateInputs GateInputs::random(int64_t tokens, int64_t experts, bool padded, uint32_t seed) {
  GateInputs in;
  in.tokens = tokens, in.experts = experts;
  in.logits = normal(static_cast<size_t>(tokens * experts), seed);
  in.x = normal(static_cast<size_t>(tokens * kModel), seed + 50);
  for (int64_t t = 0; t < tokens; ++t) {
    in.ids.push_back(static_cast<int32_t>((t * 13 + seed * 7) % kVocab));
  }
  for (int64_t t = 0; padded && t < tokens; ++t) in.mask.push_back(t % 5 != 3);
  return in;
}

GateInputs GateInputs::part(int64_t begin, int64_t count) const {
  GateInputs p = *this;
  p.tokens = count;
  p.first_row = first_row + begin;
  const auto cut = [&](auto& values, int64_t width) {
    if (values.empty()) return;
    values.erase(values.begin() + (begin + count) * width, values.end());
    values.erase(values.begin(), values.begin() + begin * width);
  };
  cut(p.logits, experts), cut(p.x, kModel), cut(p.mask, 1), cut(p.ids, 1);
  return p;
}

GateCall::GateCall(const DeviceContext& context, const GatingPolicy& policy,
                   ComponentParameters& values, const GateInputs& given, uint8_t poison)
    : gate(policy), parameters(values), in(given), bench(context, {DType::kF32, poison}) {
  const int64_t T = in.tokens, E = in.experts;
  shape = gate.plan_shape(T, E, in.training);
  bench.set_rows({.first = in.first_row});
  inputs.logits = bench.put(in.logits, {T, E});
  if (!in.mask.empty()) inputs.token_mask = bench.put(in.mask, {T});
  inputs.token_ids = bench.put(in.ids, {T});
  if (shape.reads_x) inputs.x = bench.put(in.x, {T, kModel});
  inputs.batch = in.batch;
  inputs.training = in.training;

  const int64_t rows = token_major() ? T : E;
  plan.index = bench.make(DType::kI32, {rows, shape.slots});
  plan.weight = bench.make(DType::kF32, {rows, shape.slots});
  if (shape.writes_position) plan.position = bench.make(DType::kI32, {rows, shape.slots});
  if (shape.writes_scores) plan.scores = bench.make(DType::kF32, {T, E});
  if (shape.aux_losses > 0) plan.aux_loss = bench.make(DType::kF32, {shape.aux_losses});
  if (shape.metrics > 0) plan.metrics = bench.make(DType::kF32, {shape.metrics});
  plan.capacity = shape.capacity;
}

void GateCall::launch_forward() {
  bench.forget();
  bench.call(
      [&](Exec& exec) { gate.forward(exec, inputs, parameters.params(), plan, bench.saved()); });
}

void GateCall::forward() {
  launch_forward();
  read();
}

void GateCall::read() {
  index = bench.ints(plan.index);
  if (plan.position) position = bench.ints(plan.position);
  weight = bench.floats(plan.weight);
  scores = bench.floats(plan.scores);
  aux = bench.floats(plan.aux_loss);
  metrics = bench.floats(plan.metrics);
}

namespace {

std::vector<float> upstream_values(int64_t n, uint32_t seed, float factor) {
  std::vector<float> values = normal(static_cast<size_t>(n), seed);
  for (float& v : values) v = factor == 0 ? 0.f : v * factor;  // no -0
  return values;
}

}  // namespace

/// By token and expert, not by slot: an expert's slots trade places at any step.
std::vector<float> GateCall::weight_upstream(const GateUpstream& upstream) const {
  const std::vector<float> all = upstream_values(in.tokens * in.experts, 2, upstream.weight);
  std::vector<float> dweight(index.size(), 0.f);
  for (size_t i = 0; i < index.size(); ++i) {
    if (index[i] < 0) continue;
    const int64_t row = static_cast<int64_t>(i) / shape.slots;
    const int64_t at = token_major() ? row * in.experts + index[i] : index[i] * in.experts + row;
    dweight[i] = all[static_cast<size_t>(at)];
  }
  return dweight;
}

void GateCall::prepare(const GateUpstream& upstream) {
  const int64_t T = in.tokens, E = in.experts;
  grad.weight = bench.put(weight_upstream(upstream), {plan.weight.dim(0), shape.slots});
  if (plan.aux_loss) {
    grad.aux_loss =
        bench.put(upstream_values(shape.aux_losses, 3, upstream.aux), {shape.aux_losses});
  }
  if (plan.scores && upstream.scores != 0) {
    grad.scores = bench.put(upstream_values(T * E, 4, upstream.scores), {T, E});
  }
  out.logits = bench.make(DType::kF32, {T, E});
  if (shape.reads_x) out.x = bench.make(DType::kF32, {T, kModel});
}

void GateCall::launch_backward() {
  bench.call([&](Exec& exec) {
    gate.backward(exec, inputs, parameters.params(), plan, bench.saved(), grad, out);
  });
}

std::vector<float> GateCall::results() {
  read();
  std::vector<float> all;
  for (size_t i = 0; i < index.size(); ++i) {
    all.push_back(static_cast<float>(index[i]));
    all.push_back(index[i] >= 0 ? weight[i] : 0);
  }
  for (const std::vector<float>& more :
       {scores, aux, metrics, bench.floats(out.logits), bench.floats(out.x)}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

void GateCall::backward(const GateUpstream& upstream) {
  prepare(upstream);
  launch_backward();
  dlogits = bench.floats(out.logits);
  dx = bench.floats(out.x);
}

double GateCall::loss(const GateUpstream& upstream) const {
  const std::vector<float> dweight = weight_upstream(upstream);
  double sum = dot(upstream_values(shape.aux_losses, 3, upstream.aux), aux);
  sum += dot(upstream_values(static_cast<int64_t>(scores.size()), 4, upstream.scores), scores);
  for (size_t i = 0; i < index.size(); ++i) {
    if (index[i] >= 0) sum += static_cast<double>(dweight[i]) * weight[i];
  }
  return sum;
}

bool GateCall::same_choices(const GateCall& other) const {
  const auto sorted = [&](std::vector<int32_t> rows) {
    for (auto row = rows.begin(); row != rows.end(); row += shape.slots) {
      std::sort(row, row + shape.slots);
    }
    return rows;
  };
  return sorted(index) == sorted(other.index);
}

}  // namespace moiety::testing
