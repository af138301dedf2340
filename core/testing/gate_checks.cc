#include "core/testing/gate_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace moiety::testing {

GateChecks::GateChecks(const Subject& subject, Report& report)
    : subject_(subject),
      report_(report),
      gate_(subject.make<GatingPolicy>()),
      parameters_(context(), *gate_, /*expert=*/false),
      random_(GateInputs::random(kTokens, kExperts)) {}

GateChecks::Ran GateChecks::call(const GateInputs& in, uint8_t poison) {
  return std::make_unique<GateCall>(context(), *gate_, parameters_, in, poison);
}

GateChecks::Ran GateChecks::ran(const GateInputs& in, uint8_t poison,
                                const GateUpstream& upstream) {
  Ran c = call(in, poison);
  c->forward();
  c->backward(upstream);
  return c;
}

Verdict GateChecks::plan_valid() {
  for (const bool training : {true, false}) {
    GateInputs in = random_;
    in.training = training;
    const Ran c = call(in, 0);
    c->forward();
    if (std::string problem = plan_problem(*c); !problem.empty()) return problem;
    if (!finite(c->aux)) return "a loss is not finite";
  }
  return "";
}

Verdict GateChecks::repeatable() {
  if (!subject_.info.traits.deterministic) return Verdict::skip("not promised by its traits");
  const std::string other = plan_difference(*ran(random_), *ran(random_));
  return other.empty() ? "" : "the same call gave another result: " + other;
}

Verdict GateChecks::written() {
  const std::string other = plan_difference(*ran(random_, 0xff), *ran(random_, 0x3e));
  return other.empty() ? "" : "depends on what lay in the memory before: " + other;
}

Verdict GateChecks::bounds() {
  return ran(random_)->bench.intact() ? "" : "wrote outside a tensor";
}

Verdict GateChecks::mask() {
  // Losses that average over padding as well reach its logits, so the weights' gradient alone.
  const Ran c = ran(random_, 0xff, {.weight = 1, .aux = 0, .scores = 0});
  if (std::string problem = padding_problem(*c); !problem.empty()) return problem;
  for (int64_t i = 0; i < kTokens * kExperts; ++i) {
    if (!random_.used(i / kExperts) && c->dlogits[static_cast<size_t>(i)] != 0) {
      return fmt::format("padded token {} has a gradient through weights", i / kExperts);
    }
  }
  return "";
}

Verdict GateChecks::in_flight() {
  const Ran alone = ran(random_), first = call(random_);
  const Ran second = call(GateInputs::random(kTokens, kExperts, true, 9));
  first->forward(), second->forward();
  first->backward(), second->backward();
  const std::string other = plan_difference(*first, *alone);
  return other.empty() ? "" : "a call between forward and backward changed " + other;
}

namespace {

bool may_leak(const ComponentInfo& gate) {
  return std::any_of(gate.schema.begin(), gate.schema.end(),
                     [](const OptionSpec& spec) { return spec.name == "allow_future_leak"; });
}

}  // namespace

/// In evaluation, the first rows before another second half.
Verdict GateChecks::future_leak() {
  const int64_t half = kTokens / 2;
  GateInputs in = random_, other = random_;
  in.training = other.training = false;
  const std::vector<float> fresh = normal(other.logits.size(), 77);
  std::copy(fresh.begin() + half * kExperts, fresh.end(), other.logits.begin() + half * kExperts);
  const Ran a = call(in), b = call(other);
  a->forward(), b->forward();
  const auto sees = [&](const GateCall& c, int64_t t) {  // the experts of a token
    std::set<int64_t> experts;
    for (size_t i = 0; i < c.index.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / c.shape.slots, named = choice(c.index[i]);
      if (named != kUnused && (c.token_major() ? row : named) == t) {
        experts.insert(c.token_major() ? named : row);
      }
    }
    return experts;
  };
  for (int64_t t = 0; t < half; ++t) {
    if (sees(*a, t) == sees(*b, t) || may_leak(subject_.info)) continue;
    return fmt::format(
        "in evaluation the experts of token {} depend on later tokens; a gate of which that is "
        "true has an option allow_future_leak, false by default",
        t);
  }
  return "";
}

/// The choices before dropping must not depend on how the batch is cut, for gates that look at one
/// token at a time.
Verdict GateChecks::split() {
  if (Verdict leak = future_leak(); leak.outcome == Outcome::kFail) return leak;
  const Ran whole = call(random_);
  whole->forward();
  if (!whole->token_major()) return Verdict::skip("experts choose among the tokens of a call");
  const int64_t half = kTokens / 2;
  const auto same_rows = [&](const GateCall& part, int64_t begin, int64_t rows) {
    for (int64_t i = 0; i < rows * whole->shape.slots; ++i) {
      const auto at = static_cast<size_t>(begin * whole->shape.slots + i);
      if (choice(part.index[static_cast<size_t>(i)]) != choice(whole->index[at])) return false;
    }
    return true;
  };
  GateInputs other = random_;  // the same first half before another second half
  const std::vector<float> fresh = normal(other.logits.size(), 77);
  std::copy(fresh.begin() + half * kExperts, fresh.end(), other.logits.begin() + half * kExperts);
  const Ran beside = call(other);
  beside->forward();
  if (!same_rows(*beside, 0, half)) return Verdict::skip("a choice depends on other tokens");
  for (const int64_t begin : {int64_t{0}, half}) {
    const int64_t rows = begin == 0 ? half : kTokens - half;
    const Ran part = call(random_.part(begin, rows));
    part->forward();
    if (!same_rows(*part, begin, rows)) {
      return fmt::format("rows from {} on choose otherwise in a call of their own", begin);
    }
  }
  return "";
}

Verdict GateChecks::gradient() {
  GateInputs in = random_;
  parameters_.set(GradMode::kOverwrite);
  const Ran at = ran(in);
  std::vector<Leaf> leaves = parameters_.leaves();
  leaves.insert(leaves.begin(), {"the logits", &in.logits, at->dlogits});
  if (at->shape.reads_x) leaves.push_back({"x", &in.x, at->dx});
  const Verdict verdict = judge_gradient(leaves, [&]() -> std::optional<double> {
    parameters_.push();
    const Ran moved = call(in);
    moved->forward();
    if (!moved->same_choices(*at)) return std::nullopt;
    return moved->loss();
  });
  parameters_.push();
  return verdict;
}

Verdict GateChecks::grad_mode() {
  if (parameters_.leaves().empty()) return Verdict::skip("it has no parameters");
  return judge_grad_mode(parameters_, [&] { ran(random_); });
}

Verdict GateChecks::resume() {
  ComponentParameters own(context(), *gate_, /*expert=*/false);
  const auto gate = subject_.make<GatingPolicy>(), fresh = subject_.make<GatingPolicy>();
  const auto run = [&](const GatingPolicy& policy) {
    auto c = std::make_unique<GateCall>(context(), policy, own, random_);
    c->forward();
    c->backward();
    return c;
  };
  const Ran before = run(*gate);
  std::vector<float> load(kExperts);
  for (size_t e = 0; e < load.size(); ++e) load[e] = static_cast<float>(e * e);
  const TensorView chosen = before->bench.put(load, {kExperts});
  before->bench.call([&](Exec& exec) { gate->end_step(exec, own.params(), chosen); });
  const std::string other = plan_difference(*run(*gate), *run(*fresh));
  return other.empty() ? "" : "a new instance on the same buffers goes elsewhere: " + other;
}

Verdict GateChecks::errors() {
  const Ran c = call(random_);
  c->inputs.logits = retyped(c->inputs.logits, DType::kBF16);
  return judge_refusal(DType::kBF16, "logits", [&] { c->launch_forward(); });
}

}  // namespace moiety::testing
