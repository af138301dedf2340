// Awkward sizes and logits for a gating policy, and what runs all of its checks.
#include <fmt/format.h>

#include "core/testing/gate_checks.h"
#include "core/testing/probe.h"

namespace moiety::testing {

namespace {

struct Edge {
  const char* name;
  GateInputs in;
};

std::vector<Edge> all_edges() {
  std::vector<Edge> edges;
  const auto add = [&](const char* name, int64_t tokens, int64_t experts) -> GateInputs& {
    edges.push_back({name, GateInputs::random(tokens, experts, tokens > 2)});
    return edges.back().in;
  };
  add("no tokens", 0, kExperts);
  add("one token", 1, kExperts);
  add("31 tokens", 31, kExperts);
  add("one expert", kTokens, 1);
  add("7 experts", kTokens, 7);
  add("64 experts", kTokens, 64);
  GateInputs& one = add("all tokens to one expert", kTokens, kExperts);
  for (size_t i = 0; i < one.logits.size(); ++i) one.logits[i] += i % kExperts == 5 ? 50.f : 0.f;
  for (float& z : add("equal logits", kTokens, kExperts).logits) z = 0.25f;
  for (float& z : add("logits of +-1e4", kTokens, kExperts).logits) z = z > 0 ? 1e4f : -1e4f;
  GateInputs& padding = add("nothing but padding", 5, kExperts);
  padding.mask.assign(5, 0);
  return edges;
}

}  // namespace

Verdict GateChecks::edge(const GateInputs& in) {
  for (const bool training : {true, false}) {
    GateInputs given = in;
    given.training = training;
    const auto gate = subject_.make<GatingPolicy>(kit_dims(in.experts));
    try {
      gate->plan_shape(in.tokens, in.experts, training);
    } catch (const Error& e) {
      return Verdict::skip(e.what());  // a definition may rule sizes out
    }
    ComponentParameters parameters(context(), *gate, /*expert=*/false);
    GateCall c(context(), *gate, parameters, given);
    c.forward();
    for (std::string problem : {plan_problem(c), padding_problem(c)}) {
      if (!problem.empty()) return problem;
    }
    c.backward();
    if (std::string problem = finite_problem(c); !problem.empty()) return problem;
    if (!c.bench.intact()) return "wrote outside a tensor";
  }
  return "";
}

Verdict GateChecks::edges() {
  for (const Edge& e : all_edges()) {
    Verdict verdict = edge(e.in);
    if (verdict.outcome == Outcome::kFail) return std::string(e.name) + ": " + verdict.detail;
    const bool ordinary = e.in.experts == kExperts && e.in.tokens > 1;
    if (verdict.outcome == Outcome::kSkip && ordinary) return Verdict::skip(verdict.detail);
  }
  return "";
}

void GateChecks::run() {
  try {
    gate_->plan_shape(kTokens, kExperts, true);
  } catch (const Error&) {
    report_.check("edges", [&] { return edges(); });
    return;  // this end of an option's range needs other sizes
  }
  report_.check("plan_valid", [&] { return plan_valid(); });
  report_.check("repeatable", {"plan_valid"}, [&] { return repeatable(); });
  report_.check("written", {"repeatable"}, [&] { return written(); });
  report_.check("bounds", {"plan_valid"}, [&] { return bounds(); });
  report_.check("mask", {"plan_valid", "written"}, [&] { return mask(); });
  report_.check("in_flight", {"written"}, [&] { return in_flight(); });
  report_.check("split", {"repeatable"}, [&] { return split(); });
  report_.check("gradient", {"written", "in_flight"}, [&] { return gradient(); });
  report_.check("grad_mode", {"gradient"}, [&] { return grad_mode(); });
  report_.check("resume", {"in_flight"}, [&] { return resume(); });
  report_.check("errors", {"plan_valid"}, [&] { return errors(); });
  report_.check("edges", {"plan_valid", "written", "bounds", "mask"}, [&] { return edges(); });
  check_probe(subject_, report_, {"plan_valid", "repeatable"}, [&](DeviceContext& device) {
    auto gate = subject_.make<GatingPolicy>();
    auto parameters = std::make_shared<ComponentParameters>(device, *gate, /*expert=*/false);
    auto c = std::make_shared<GateCall>(device, *gate, *parameters, random_);
    c->forward();
    c->prepare();
    return Probe{[gate, parameters, c] { c->launch_forward(), c->launch_backward(); },
                 [c] { return c->results(); }, std::shared_ptr<Workbench>(c, &c->bench)};
  });
}

void check_gating(const Subject& subject, Report& report) { GateChecks(subject, report).run(); }

}  // namespace moiety::testing
