#include "core/testing/objective_call.h"

#include "core/testing/subject.h"

namespace moiety::testing {

ObjectiveRows ObjectiveRows::random(int64_t rows) {
  ObjectiveRows in;
  in.rows = rows;
  in.logits = normal(static_cast<size_t>(rows * kVocab), 1, 2);
  in.teacher = normal(in.logits.size(), 2, 2);
  for (int64_t r = 0; r < rows; ++r) {
    in.targets.push_back(static_cast<int32_t>((r * 29 + 3) % kVocab));
  }
  return in;
}

ObjectiveRows ObjectiveRows::part(int64_t begin, int64_t count) const {
  ObjectiveRows p = *this;
  p.rows = count;
  const auto cut = [&](auto& values, int64_t width) {
    if (values.empty()) return;
    values.erase(values.begin() + (begin + count) * width, values.end());
    values.erase(values.begin(), values.begin() + begin * width);
  };
  cut(p.logits, kVocab), cut(p.teacher, kVocab), cut(p.targets, 1), cut(p.mask, 1);
  return p;
}

ObjectiveCall::ObjectiveCall(const DeviceContext& context, const Objective& given,
                             const ObjectiveRows& in, const ObjectiveCallOptions& options)
    : objective(given), bench(context, {options.dtype, options.poison}) {
  const int64_t R = in.rows, V = kVocab;
  bench.set_step({.loss_scale = in.loss_scale});
  const TensorView logits = bench.put(in.logits, {R, V}, options.dtype);
  inputs.logits = logits;
  inputs.targets = bench.put(in.targets, {R});
  if (!in.mask.empty()) inputs.loss_mask = bench.put(in.mask, {R});
  if (options.with_teacher && objective.wants_teacher(0)) {
    inputs.teacher_logits = bench.put(in.teacher, {R, V}, options.dtype);
  }
  inputs.denominator = bench.put(std::vector<float>{in.denominator}, {1});
  row_loss_view = bench.make(DType::kF32, {R});
  if (options.with_grad) grad_view = options.alias ? logits : bench.make(options.dtype, {R, V});
  const auto M = static_cast<int64_t>(objective.metrics().size());
  metrics_view = bench.put(std::vector<float>(static_cast<size_t>(M), options.metrics_before), {M});
}

void ObjectiveCall::launch() {
  bench.call([&](Exec& exec) {
    objective.evaluate(exec, inputs, row_loss_view, grad_view, metrics_view);
  });
}

void ObjectiveCall::read() {
  row_loss = bench.floats(row_loss_view);
  grad = bench.floats(grad_view);
  metrics = bench.floats(metrics_view);
}

std::vector<float> ObjectiveCall::results() {
  read();
  std::vector<float> all = row_loss;
  all.insert(all.end(), grad.begin(), grad.end());
  return all;
}

}  // namespace moiety::testing
