// Losses over rows of logits, against float64: label smoothing, distillation, means over blocks.
#include <moiety/objective_ops.h>
#include <moiety/ops.h>

#include "tests/unit/ops/op_test.h"

namespace moiety {

class ObjectiveOps : public OpTest {
 protected:
  struct Expected {
    Vector loss, cross_entropy, divergence;
  };

  static Vector log_softmax(const Vector& logits, size_t V, double T) {
    Vector out(logits.size());
    for (size_t begin = 0; begin < logits.size(); begin += V) {
      double top = -INFINITY, sum = 0;
      for (size_t c = 0; c < V; ++c) top = std::max(top, logits[begin + c] / T);
      for (size_t c = 0; c < V; ++c) sum += std::exp(logits[begin + c] / T - top);
      for (size_t c = 0; c < V; ++c) out[begin + c] = logits[begin + c] / T - top - std::log(sum);
    }
    return out;
  }

  static Expected expected(const Vector& student, const Vector& teacher,
                           const std::vector<int32_t>& target, const ops::DistillationForm& form) {
    const size_t V = student.size() / target.size();
    const double T = form.temperature, s = form.smoothing;
    const Vector plain = log_softmax(student, V, 1), q = log_softmax(student, V, T),
                 p = log_softmax(teacher, V, T);
    Expected e;
    for (size_t r = 0; r < target.size(); ++r) {
      double ce = 0, kl = 0;
      for (size_t c = 0; c < V && target[r] >= 0; ++c) {
        const size_t i = r * V + c;
        const double wanted = (c == count(target[r]) ? 1 - s : 0) + s / static_cast<double>(V);
        ce -= wanted * plain[i];
        kl += std::exp(p[i]) * (p[i] - q[i]);
      }
      kl *= form.beta * T * T;
      e.cross_entropy.push_back(ce), e.divergence.push_back(kl);
      e.loss.push_back(form.alpha * ce + kl);
    }
    return e;
  }

  ObjectiveInputs inputs(const TensorView& logits, const std::vector<int32_t>& target) {
    const int64_t R = logits.dim(0);
    StepState step;
    step.loss_scale = 4;
    set_step(step);
    ObjectiveInputs in;
    in.logits = logits;
    in.targets = put(target, {R});
    std::vector<float> mask(count(R));
    for (size_t r = 0; r < mask.size(); ++r) mask[r] = r % 4 == 2 ? 0.0f : 0.5f;
    in.loss_mask = put(mask, DType::kF32, {R});
    in.denominator = put({2}, DType::kF32, {1});
    return in;
  }
  static std::vector<int32_t> targets(int64_t R, int64_t V) {
    std::vector<int32_t> target(count(R));
    for (size_t r = 0; r < target.size(); ++r) {
      target[r] = r % 5 == 3 ? -1 : static_cast<int32_t>(r * 37 % count(V));
    }
    return target;
  }

  void check(int64_t R, int64_t V, const ops::DistillationForm& form) {
    const TensorView logits = random({R, V}, 1, 2), teacher = random({R, V}, 2, 2);
    const std::vector<int32_t> target = targets(R, V);
    ObjectiveInputs in = inputs(logits, target);
    in.teacher_logits = teacher;
    const ops::DistillationRows rows{make(DType::kF32, {R}), make(DType::kF32, {R}),
                                     make(DType::kF32, {R})};
    const TensorView grad = make(dtype(), {R, V});
    ops::distillation(exec_, in, form, rows, grad);
    const Vector x = wide(logits), t = wide(teacher);
    const Expected e = expected(x, t, target, form);
    const auto close = [&](const TensorView& got, const Vector& want) {
      const std::vector<float> values = get(got);
      for (size_t r = 0; r < want.size(); ++r) {
        EXPECT_NEAR(static_cast<double>(values[r]), want[r], 1e-5 * std::max(1.0, want[r])) << r;
      }
    };
    close(rows.loss, e.loss);
    close(rows.cross_entropy, e.cross_entropy);
    close(rows.divergence, e.divergence);

    Vector weight(count(R));
    for (size_t r = 0; r < count(R); ++r) weight[r] = r % 4 == 2 ? 0 : 0.5 * 4 / 2;
    const auto loss = [&](const Vector& at) { return expected(at, t, target, form).loss; };
    near(grad, reference::gradient(loss, x, weight), 2 * form.beta + 2);

    ops::distillation(exec_, in, form, rows, logits);  // in place
    EXPECT_EQ(get(logits), get(grad));
    close(rows.loss, e.loss);
  }

  /// On the CPU both ops have one functor; on the GPU the cross-entropy has its own kernel.
  void same(const TensorView& a, const TensorView& b) {
    const bool cpu = GetParam().device == DeviceType::kCpu;
    EXPECT_LE(worst(get(a), get(b)), cpu ? 0 : tolerance());
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ObjectiveOps, kFloatDevices, case_name);

TEST_P(ObjectiveOps, DistillsAtTemperatureOne) { check(11, 33, {}); }
TEST_P(ObjectiveOps, DistillsWithEverySetting) { check(7, 50, {0.5, 0.7, 2.5, 0.1}); }
TEST_P(ObjectiveOps, DistillsWithoutLabels) { check(5, 40, {0, 1, 0.5, 0}); }

/// T^2 magnifies what is lost when nearly equal distributions are subtracted.
TEST_P(ObjectiveOps, ASmallDivergenceKeepsItsDigits) {
  const int64_t R = 6, V = 61;
  const TensorView logits = random({R, V}, 1, 2), teacher = random({R, V}, 2, 2);
  const std::vector<int32_t> target(count(R), 3);
  ObjectiveInputs in = inputs(logits, target);
  in.teacher_logits = teacher;
  const ops::DistillationForm form{1, 1, 100, 0};
  const ops::DistillationRows rows{make(DType::kF32, {R}), make(DType::kF32, {R}),
                                   make(DType::kF32, {R})};
  ops::distillation(exec_, in, form, rows, {});
  const Expected e = expected(wide(logits), wide(teacher), target, form);
  const std::vector<float> got = get(rows.divergence);
  for (size_t r = 0; r < got.size(); ++r) {
    EXPECT_NEAR(static_cast<double>(got[r]) / e.divergence[r], 1, 1e-4) << r;
  }
}

TEST_P(ObjectiveOps, AnEqualTeacherTeachesNothing) {
  const int64_t R = 6, V = 30;
  const TensorView logits = random({R, V}, 1, 5);
  ObjectiveInputs in = inputs(logits, targets(R, V));
  in.teacher_logits = logits;
  const ops::DistillationRows rows{make(DType::kF32, {R}), make(DType::kF32, {R}),
                                   make(DType::kF32, {R})};
  const TensorView grad = make(dtype(), {R, V}), row_loss = make(DType::kF32, {R}),
                   plain = make(dtype(), {R, V});
  ops::distillation(exec_, in, {1, 1, 3, 0}, rows, grad);
  EXPECT_EQ(get(rows.divergence), std::vector<float>(count(R), 0.0f));
  ops::cross_entropy(exec_, in, row_loss, plain);
  same(rows.loss, row_loss);
  same(grad, plain);
}

TEST_P(ObjectiveOps, WithoutBetaItIsTheCrossEntropy) {
  const int64_t R = 9, V = 100;
  const TensorView logits = random({R, V}, 1, 3);
  ObjectiveInputs in = inputs(logits, targets(R, V));
  in.teacher_logits = random({R, V}, 2, 3);
  const ops::DistillationRows rows{make(DType::kF32, {R}), make(DType::kF32, {R}),
                                   make(DType::kF32, {R})};
  const TensorView grad = make(dtype(), {R, V}), row_loss = make(DType::kF32, {R}),
                   plain = make(dtype(), {R, V});
  for (const double smoothing : {0.0, 0.2}) {
    ops::distillation(exec_, in, {1, 0, 2, smoothing}, rows, grad);
    ops::smoothed_cross_entropy(exec_, in, smoothing, row_loss, plain);
    same(rows.loss, row_loss);
    same(grad, plain);
  }
}

TEST_P(ObjectiveOps, TheTeacherHasTheStudentsShapeAndType) {
  const TensorView logits = random({4, 10}, 1);
  ObjectiveInputs in = inputs(logits, targets(4, 10));
  const ops::DistillationRows rows{make(DType::kF32, {4}), make(DType::kF32, {4}),
                                   make(DType::kF32, {4})};
  in.teacher_logits = random({4, 11}, 1);
  EXPECT_THROW(ops::distillation(exec_, in, {}, rows, {}), Error);
  in.teacher_logits = make(DType::kI32, {4, 10});
  EXPECT_THROW(ops::distillation(exec_, in, {}, rows, {}), Error);
}

TEST_P(ObjectiveOps, MeansAddUpOverBlocks) {
  ObjectiveInputs in = inputs(random({6, 5}, 1), targets(6, 5));  // mask 0.5, row 2: 0
  const TensorView out = put({10}, DType::kF32, {1}),
                   values = put({1, 2, 3, 4, 5, 6}, DType::kF32, {6});
  for (const auto& [begin, rows] : {std::pair<int64_t, int64_t>{0, 2}, {2, 4}}) {
    ObjectiveInputs part = in;
    part.loss_mask = in.loss_mask.slice(0, begin, rows);
    ops::add_row_mean(exec_, part, values.slice(0, begin, rows), out);
  }
  EXPECT_FLOAT_EQ(get(out)[0], 10 + 0.5f * (1 + 2 + 4 + 5 + 6) / 2);
  in.loss_mask = {};
  ops::add_row_mean(exec_, in, values, out);
  EXPECT_FLOAT_EQ(get(out)[0], 10 + 0.5f * 18 / 2 + 21.0f / 2);
}

}  // namespace moiety
