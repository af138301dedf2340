// An objective on blocks of random rows.
#include <fmt/format.h>

#include "core/testing/judge.h"
#include "core/testing/objective_call.h"
#include "core/testing/probe.h"
#include "core/testing/subject.h"

namespace moiety::testing {

namespace {

constexpr int64_t kRows = 9;
constexpr double kTolerance = 1e-5;

class ObjectiveChecks {
 public:
  ObjectiveChecks(const Subject& subject, Report& report)
      : subject_(subject),
        report_(report),
        objective_(subject.make<Objective>()),
        random_(ObjectiveRows::random(kRows)) {}

  void run() {
    report_.check("repeatable", [&] { return repeatable(); });
    report_.check("written", {"repeatable"}, [&] { return written(); });
    report_.check("bounds", [&] { return bounds(); });
    report_.check("gradient", {"written"}, [&] { return gradient(); });
    report_.check("mask", {"written"}, [&] { return mask(); });
    report_.check("denominator", {"written"}, [&] { return denominator(); });
    report_.check("loss_scale", {"written"}, [&] { return loss_scale(); });
    report_.check("metrics", {"repeatable"}, [&] { return metrics(); });
    report_.check("blocks", {"written", "mask"}, [&] { return blocks(); });
    report_.check("evaluation", {"written"}, [&] { return evaluation(); });
    report_.check("alias", {"written"}, [&] { return alias(); });
    report_.check("dtypes", {"gradient"}, [&] { return dtypes(); });
    report_.check("errors", [&] { return errors(); });
    report_.check("edges", {"written", "bounds"}, [&] { return edges(); });
    check_probe(subject_, report_, {"repeatable"}, [&](DeviceContext& device) {
      auto objective = subject_.make<Objective>();
      auto c = std::make_shared<ObjectiveCall>(device, *objective, random_);
      return Probe{[objective, c] { c->launch(); }, [c] { return c->results(); },
                   std::shared_ptr<Workbench>(c, &c->bench)};
    });
  }

 private:
  using Ran = std::unique_ptr<ObjectiveCall>;
  Ran ran(const ObjectiveRows& in, const ObjectiveCallOptions& options = {}) {
    auto c = std::make_unique<ObjectiveCall>(subject_.devices.main(), *objective_, in, options);
    c->run();
    return c;
  }

  Verdict repeatable() {
    const Ran a = ran(random_), b = ran(random_);
    return same_bits(a->results(), b->results()) && same_bits(a->metrics, b->metrics)
               ? ""
               : "the same call gave another result";
  }

  Verdict written() {
    const Ran a = ran(random_, {.poison = 0xff}), b = ran(random_, {.poison = 0x3e});
    return same_bits(a->results(), b->results())
               ? ""
               : "row_loss or grad depend on what lay in the memory before";
  }

  Verdict bounds() { return ran(random_)->bench.intact() ? "" : "wrote outside a tensor"; }

  Verdict gradient() {
    ObjectiveRows in = random_;
    const Ran at = ran(in);
    return judge_gradient({{"the logits", &in.logits, at->grad}}, [&]() -> std::optional<double> {
      const Ran moved = ran(in);
      return dot(moved->row_loss, std::vector<float>(kRows, 1.f));
    });
  }

  Verdict mask() {
    ObjectiveRows in = random_;
    in.targets[2] = -1, in.targets[5] = -100;
    const Ran plain = ran(in);
    in.mask.assign(kRows, 1.f);
    in.mask[1] = 0, in.mask[4] = 0.5f;
    const Ran masked = ran(in);
    if (!same_bits(plain->row_loss, masked->row_loss)) return "the mask changes row_loss";
    for (int64_t r = 0; r < kRows; ++r) {
      const auto row = static_cast<size_t>(r);
      if (in.targets[row] < 0 && masked->row_loss[row] != 0) {
        return fmt::format("row {} has no target and a loss", r);
      }
      const float factor = in.targets[row] < 0 ? 0 : in.mask[row];
      for (size_t i = row * kVocab; i < (row + 1) * kVocab; ++i) {
        if (!(std::abs(masked->grad[i] - factor * plain->grad[i]) <= 1e-6f)) {
          return fmt::format("row {} with mask {} and target {} has another gradient", r,
                             in.mask[row], in.targets[row]);
        }
      }
    }
    return "";
  }

  /// The gradient is `factor` times that of the plain rows, the losses are the same.
  Verdict scaled(const ObjectiveRows& in, float factor, const char* what) {
    const Ran plain = ran(random_), other = ran(in);
    if (!same_bits(plain->row_loss, other->row_loss))
      return std::string(what) + " changes row_loss";
    for (float& g : other->grad) g /= factor;
    return difference(other->grad, plain->grad) <= 1e-6
               ? ""
               : fmt::format("{} does not enter the gradient as it should", what);
  }

  Verdict denominator() {
    ObjectiveRows in = random_;
    in.denominator = 8;
    return scaled(in, 0.125f, "the denominator");
  }

  Verdict loss_scale() {
    ObjectiveRows in = random_;
    in.loss_scale = 1024;
    return scaled(in, 1024, "the loss scale");
  }

  Verdict metrics() {
    if (objective_->metrics().empty()) return Verdict::skip("it has no metrics");
    const Ran from_zero = ran(random_), from_five = ran(random_, {.metrics_before = 5});
    for (size_t m = 0; m < from_zero->metrics.size(); ++m) {
      const float expected = from_zero->metrics[m] + 5;
      if (!(std::abs(from_five->metrics[m] - expected) <= 1e-4f)) {
        return fmt::format("metric {} is not added to what was there", m);
      }
    }
    return "";
  }

  Verdict blocks() {
    ObjectiveRows in = random_;
    in.mask.assign(kRows, 1.f);
    in.mask[7] = 0.25f;
    const Ran whole = ran(in);
    std::vector<float> losses, grads;
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 4}, {4, kRows - 4}}) {
      const Ran part = ran(in.part(begin, count));
      losses.insert(losses.end(), part->row_loss.begin(), part->row_loss.end());
      grads.insert(grads.end(), part->grad.begin(), part->grad.end());
    }
    return difference(losses, whole->row_loss) <= kTolerance &&
                   difference(grads, whole->grad) <= kTolerance
               ? ""
               : "two blocks of rows differ from all rows at once";
  }

  Verdict evaluation() {
    const Ran without = ran(random_, {.with_grad = false});
    // The core runs no teacher in an evaluation, nor when the objective has no more use for it.
    if (!finite(ran(random_, {.with_teacher = false})->results())) {
      return "without teacher_logits a result is not finite";
    }
    return same_bits(without->row_loss, ran(random_)->row_loss)
               ? ""
               : "without a gradient row_loss is another one";
  }

  Verdict alias() {
    const Ran apart = ran(random_), over = ran(random_, {.alias = true});
    return same_bits(apart->results(), over->results())
               ? ""
               : "with grad in place of the logits the result is another one";
  }

  Verdict dtypes() {
    const Ran f32 = ran(random_);
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      const double error = difference(ran(random_, {.dtype = dtype})->results(), f32->results());
      if (!(error <= 3e-2)) {
        return fmt::format("with logits in {} it differs from f32 by {:.2g}", name_of(dtype),
                           error);
      }
    }
    return "";
  }

  Verdict errors() {
    ObjectiveCall c(subject_.devices.main(), *objective_, random_);
    c.inputs.logits = retyped(c.inputs.logits, DType::kI32);
    return judge_refusal(DType::kI32, "logits", [&] { c.launch(); });
  }

  Verdict edges() {
    for (const int64_t rows : {int64_t{0}, int64_t{1}}) {
      if (!finite(ran(ObjectiveRows::random(rows))->results())) {
        return fmt::format("{} rows: a result is not finite", rows);
      }
    }
    ObjectiveRows large = random_;
    for (float& z : large.logits) z = z > 0 ? 1e4f : -1e4f;
    return finite(ran(large)->results()) ? "" : "logits of +-1e4: a result is not finite";
  }

  const Subject& subject_;
  Report& report_;
  std::shared_ptr<Objective> objective_;
  ObjectiveRows random_;
};

}  // namespace

void check_objective(const Subject& subject, Report& report) {
  ObjectiveChecks(subject, report).run();
}

}  // namespace moiety::testing
