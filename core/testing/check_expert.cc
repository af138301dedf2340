// An expert type alone, over slots that the kit lays out.
#include <fmt/format.h>

#include <algorithm>

#include "core/testing/expert_call.h"
#include "core/testing/judge.h"
#include "core/testing/probe.h"
#include "core/testing/subject.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 1e-5;

class ExpertChecks {
 public:
  ExpertChecks(const Subject& subject, Report& report)
      : subject_(subject),
        report_(report),
        expert_(subject.make<ExpertType>()),
        parameters_(context(), *expert_, /*expert=*/true),
        random_(ExpertInputs::random(kTokens, kExperts)) {}

  void run() {
    report_.check("layer_shape", [&] { return layer_shape(); });
    report_.check("repeatable", [&] { return repeatable(); });
    report_.check("written", {"repeatable"}, [&] { return written(); });
    report_.check("bounds", [&] { return bounds(); });
    report_.check("in_flight", {"written"}, [&] { return in_flight(); });
    report_.check("segments", {"written"}, [&] { return other_layout(SlotLayout::kPadded); });
    report_.check("received", {"segments"}, [&] { return other_layout(SlotLayout::kReceived); });
    report_.check("optional", {"written"}, [&] { return optional(); });
    report_.check("gradient", {"written", "in_flight"}, [&] { return gradient(); });
    report_.check("grad_mode", {"repeatable"}, [&] { return grad_mode(); });
    report_.check("dtypes", {"gradient"}, [&] { return dtypes(); });
    report_.check("compute_gradient", {"dtypes"}, [&] { return compute_gradient(); });
    report_.check("errors", [&] { return errors(); });
    report_.check("edges", {"bounds", "received"}, [&] { return edges(); });
    check_probe(subject_, report_, {"repeatable"}, [&](DeviceContext& device) {
      auto expert = subject_.make<ExpertType>();
      auto parameters = std::make_shared<ComponentParameters>(device, *expert, /*expert=*/true);
      auto c = std::make_shared<ExpertCall>(device, *expert, *parameters, random_);
      return Probe{[expert, parameters, c] { c->launch(); }, [c] { return c->results(); },
                   std::shared_ptr<Workbench>(c, &c->bench)};
    });
  }

 private:
  using Ran = std::unique_ptr<ExpertCall>;
  DeviceContext& context() const { return subject_.devices.main(); }

  Ran ran(const ExpertCallOptions& options = {}) {
    auto c = std::make_unique<ExpertCall>(context(), *expert_, parameters_, random_, options);
    c->run();
    return c;
  }

  Verdict layer_shape() {
    const LayerShape shape = expert_->layer_shape(1, 4, {.experts = kExperts, .hidden = kHidden});
    if (shape.experts < 1 || shape.hidden < 1) {
      return fmt::format("gives a layer {} experts of width {}", shape.experts, shape.hidden);
    }
    if (shape.dense != DenseBranch::kNone && shape.dense_hidden < 1) {
      return fmt::format("asks for a dense branch of width {}", shape.dense_hidden);
    }
    return "";
  }

  Verdict repeatable() {
    if (!subject_.info.traits.deterministic) return Verdict::skip("not promised by its traits");
    parameters_.set(GradMode::kOverwrite);
    const std::vector<float> once = ran()->results(), gradients = parameters_.gradients();
    if (!same_bits(ran()->results(), once)) return "the same call gave another result";
    return same_bits(parameters_.gradients(), gradients) ? ""
                                                         : "the same call gave other gradients";
  }

  Verdict written() {
    const std::vector<float> a = ran({.poison = 0xff})->results();
    const std::vector<float> b = ran({.poison = 0x3e})->results();
    return same_bits(a, b) ? "" : "y, dx or dweight depend on what lay in the memory before";
  }

  Verdict bounds() {
    for (const SlotLayout layout : {SlotLayout::kSorted, SlotLayout::kPadded}) {
      if (!ran({.layout = layout})->bench.intact()) return "wrote outside a tensor";
    }
    return "";
  }

  Verdict in_flight() {
    const Ran alone = ran();
    const ExpertInputs other = ExpertInputs::random(kTokens, kExperts, 9);
    ExpertCall first(context(), *expert_, parameters_, random_);
    ExpertCall second(context(), *expert_, parameters_, other);
    first.forward(), second.forward();
    first.backward();
    return same_bits(first.results(), alone->results())
               ? ""
               : "a call between forward and backward changed the result";
  }

  /// The results of a choice do not depend on where its slot lies.
  Verdict other_layout(SlotLayout layout) {
    parameters_.set(GradMode::kOverwrite);
    const Ran sorted = ran();
    const std::vector<float> gradients = parameters_.gradients();
    const Ran other = ran({.layout = layout});
    if (!other->padding_untouched()) return "writes slots that lie in no segment";
    if (!(difference(other->y_choice, sorted->y_choice) <= kTolerance)) return "gives another y";
    if (!(difference(other->dx_choice, sorted->dx_choice) <= kTolerance)) return "gives another dx";
    if (!(difference(other->dweight_choice, sorted->dweight_choice) <= kTolerance)) {
      return "gives another dweight";
    }
    return difference(parameters_.gradients(), gradients) <= kTolerance
               ? ""
               : "gives other gradients of the parameters";
  }

  /// Without weights they are all 1; without dweight the rest is the same.
  Verdict optional() {
    ExpertInputs ones = random_;
    ones.weight.assign(ones.weight.size(), 1.f);
    ExpertCall given(context(), *expert_, parameters_, ones);
    ExpertCall left_out(context(), *expert_, parameters_, ones, {.with_weight = false});
    ExpertCall unasked(context(), *expert_, parameters_, ones, {.with_dweight = false});
    given.run(), left_out.run(), unasked.run();
    if (!(difference(left_out.dx_choice, given.dx_choice) <= kTolerance) ||
        !(difference(left_out.dweight_choice, given.dweight_choice) <= kTolerance)) {
      return "without weights it is not as if all were 1";
    }
    return same_bits(unasked.dx_choice, given.dx_choice) ? "" : "without dweight dx is another one";
  }

  Verdict gradient() {
    ExpertInputs in = random_;
    parameters_.set(GradMode::kOverwrite);
    ExpertCall at(context(), *expert_, parameters_, in);
    at.run();
    std::vector<Leaf> leaves = parameters_.leaves();
    leaves.insert(leaves.begin(), {"x", &in.x, at.dtokens()});
    leaves.push_back({"weight", &in.weight, at.dweight_choice});
    Verdict verdict = judge_gradient(leaves, [&]() -> std::optional<double> {
      parameters_.push();
      ExpertCall moved(context(), *expert_, parameters_, in);
      moved.forward();
      return moved.loss();
    });
    parameters_.push();
    return verdict;
  }

  Verdict grad_mode() {
    if (parameters_.leaves().empty()) return Verdict::skip("it has no parameters");
    return judge_grad_mode(parameters_, [&] { ran(); });
  }

  /// bf16 and f16 stay near f32.
  Verdict dtypes() {
    const Ran f32 = ran();
    for (const auto& [dtype, tolerance] : {std::pair(DType::kF16, 1e-2), {DType::kBF16, 6e-2}}) {
      ComponentParameters low(context(), *expert_, /*expert=*/true, dtype);
      ExpertCall c(context(), *expert_, low, random_, {.compute = dtype});
      c.run();
      const double error =
          std::max(difference(c.y_choice, f32->y_choice), difference(c.dx_choice, f32->dx_choice));
      if (!(error <= tolerance)) {
        return fmt::format("in {} y or dx differ from f32 by {:.2g}", name_of(dtype), error);
      }
    }
    return "";
  }

  /// Gradients that it declared fit for the compute dtype are the f32 ones, rounded.
  Verdict compute_gradient() {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      const double tolerance = dtype == DType::kF16 ? 2e-3 : 1e-2;
      const auto gradients = [&](DType gradient, bool* narrow) {
        ComponentParameters p(context(), *expert_, /*expert=*/true,
                              TableForm{.compute = dtype, .gradient = gradient});
        const std::vector<DType> dtypes = p.gradient_dtypes();
        *narrow = std::count(dtypes.begin(), dtypes.end(), dtype) > 0;
        p.poison_gradients();
        ExpertCall c(context(), *expert_, p, random_, {.compute = dtype});
        c.run();
        return p.gradients();
      };
      bool narrow = false;
      const std::vector<float> wide = gradients(DType::kF32, &narrow);
      const std::vector<float> got = gradients(dtype, &narrow);
      if (!narrow) return Verdict::skip("it declares no gradient in the compute dtype");
      const double error = difference(got, wide);
      if (!(error <= tolerance)) {
        return fmt::format("gradients in {} differ from those in f32 by {:.2g}", name_of(dtype),
                           error);
      }
    }
    return "";
  }

  Verdict errors() {
    ExpertCall c(context(), *expert_, parameters_, random_);
    c.batch.x = retyped(c.batch.x, DType::kI32);
    return judge_refusal(DType::kI32, "rows of x", [&] { c.forward(); });
  }

  Verdict edges() {
    struct Edge {
      const char* name;
      int64_t tokens, experts;
      std::function<void(ExpertInputs&)> change;
    };
    const Edge all[] = {
        {"no tokens", 0, kExperts, {}},
        {"one token", 1, kExperts, {}},
        {"one expert", 31, 1, {}},
        {"7 experts", kTokens, 7, {}},
        {"everything dropped", kTokens, kExperts,
         [](ExpertInputs& in) { in.choices.clear(), in.weight.clear(); }},
        {"all tokens to one expert", kTokens, kExperts,
         [](ExpertInputs& in) {
           in.choices.clear();
           for (int32_t t = 0; t < kTokens; ++t) in.choices.push_back({t, 5});
           in.weight.assign(kTokens, 0.5f);
         }},
    };
    for (const Edge& edge : all) {
      ExpertInputs in = ExpertInputs::random(edge.tokens, edge.experts);
      if (edge.change) edge.change(in);
      const auto expert = subject_.make<ExpertType>(kit_dims(edge.experts));
      ComponentParameters parameters(context(), *expert, /*expert=*/true);
      parameters.set(GradMode::kOverwrite);
      parameters.poison_gradients();
      for (const SlotLayout layout : {SlotLayout::kSorted, SlotLayout::kReceived}) {
        ExpertCall c(context(), *expert, parameters, in, {.layout = layout});
        c.run();
        if (!finite(c.results())) return fmt::format("{}: a result is not finite", edge.name);
        if (!finite(parameters.gradients())) {
          return fmt::format("{}: a gradient is not finite or was not written", edge.name);
        }
        if (!c.bench.intact()) return fmt::format("{}: wrote outside a tensor", edge.name);
      }
    }
    return "";
  }

  const Subject& subject_;
  Report& report_;
  std::shared_ptr<ExpertType> expert_;
  ComponentParameters parameters_;
  ExpertInputs random_;
};

}  // namespace

void check_expert(const Subject& subject, Report& report) { ExpertChecks(subject, report).run(); }

}  // namespace moiety::testing
