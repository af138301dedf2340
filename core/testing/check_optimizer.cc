// An optimizer on two tensors with fixed gradients.
#include <fmt/format.h>

#include <cmath>

#include <moiety/master_weight.h>

#include "core/config/run_config.h"
#include "core/testing/probe.h"
#include "core/testing/subject.h"
#include "core/testing/training.h"

namespace moiety::testing {

namespace {

class OptimizerChecks {
 public:
  OptimizerChecks(const Subject& subject, Report& report) : subject_(subject), report_(report) {}

  void run() {
    report_.check("repeatable", [&] { return repeatable(); });
    report_.check("written", {"repeatable"}, [&] { return written(); });
    report_.check("bounds", [&] { return bounds(); });
    report_.check("skip", {"repeatable"}, [&] { return skip(); });
    report_.check("device_scalars", {"repeatable"}, [&] { return device_scalars(); });
    report_.check("grad_factor", {"repeatable"}, [&] { return grad_factor(); });
    report_.check("scales", {"repeatable"}, [&] { return scales(); });
    report_.check("resume", {"repeatable"}, [&] { return resume(); });
    report_.check("rebind", {"repeatable"}, [&] { return rebind(); });
    report_.check("shards", {"written"}, [&] { return shards(); });
    report_.check("masters", {"repeatable"}, [&] { return masters(); });
    report_.check("split_masters", {"masters"}, [&] { return split_masters(); });
    report_.check("gradient_dtypes", {"masters"}, [&] { return gradient_dtypes(); });
    report_.check("descends", {"repeatable"}, [&] { return descends(); });
    report_.check("edges", {"written", "bounds"}, [&] { return edges(); });
    check_probe(subject_, report_, {"repeatable"}, [&](DeviceContext& device) {
      auto optimizer = make();
      auto t = std::make_shared<Training>(device, *optimizer);
      t->bind(*optimizer);
      return Probe{[optimizer, t] { t->launch(*optimizer); }, [t] { return t->weights(); },
                   std::shared_ptr<Workbench>(t, &t->bench), /*repeats=*/false};
    });
  }

 private:
  DeviceContext& context() const { return subject_.devices.main(); }
  std::shared_ptr<Optimizer> make() const { return subject_.make<Optimizer>(); }

  /// Weights after `steps` updates of a fresh instance.
  std::vector<float> after(int steps, const TrainingOptions& options = {},
                           const StepState& state = {.lr = 0.1f}) {
    const auto optimizer = make();
    Training t(context(), *optimizer, options);
    t.state = state;
    t.bind(*optimizer);
    for (int i = 0; i < steps; ++i) t.step(*optimizer);
    return t.weights();
  }

  /// Weights after an update and one with the gradients turned round: even a sign of them tells how
  /// much of the past an optimizer keeps.
  std::vector<float> after_a_turn(const StepState& state) {
    const auto optimizer = make();
    Training t(context(), *optimizer);
    t.state = state;
    t.bind(*optimizer);
    t.step(*optimizer);
    t.state.grad_factor = -0.5f;
    t.step(*optimizer);
    return t.weights();
  }

  Verdict repeatable() {
    if (!subject_.info.traits.deterministic) return Verdict::skip("not promised by its traits");
    return same_bits(after(3), after(3)) ? "" : "the same steps gave other weights";
  }

  Verdict written() {
    if (!subject_.defaults) return Verdict::skip("only with the defaults");
    const std::vector<float> before = after(0), moved = after(1);
    if (!finite(moved)) return "a weight is not finite";
    for (size_t i = 0; i < before.size(); ++i) {
      if (moved[i] == before[i]) return fmt::format("element {} did not move", i % 30);
    }
    return "";
  }

  Verdict bounds() {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const auto optimizer = make();  // a second bind is for `rebind`
      Training t(context(), *optimizer, {.shape = {7, 3}, .value = dtype});
      t.bind(*optimizer);
      t.step(*optimizer);
      if (!t.bench.intact()) return "wrote outside a tensor";
    }
    return "";
  }

  Verdict skip() {
    const auto optimizer = make();
    Training t(context(), *optimizer);
    t.bind(*optimizer);
    t.step(*optimizer);
    const std::vector<float> before = t.weights();
    t.state.skip = 1;
    t.step(*optimizer);
    if (!same_bits(before, t.weights())) return "an overflowed batch changed the weights";
    t.state.skip = 0;
    t.state.update = 2;
    t.step(*optimizer);
    return same_bits(t.weights(), after(2)) ? "" : "an overflowed batch changed the state";
  }

  Verdict device_scalars() {
    const StepState later{.update = 7, .lr = 0.3f};
    const auto optimizer = make();
    Training t(context(), *optimizer);
    t.bind(*optimizer);
    t.state = later;
    t.step(*optimizer);
    if (!same_bits(t.weights(), after(1, {}, later))) {
      return "a learning rate or an update number set after bind was not seen";
    }
    if (!subject_.defaults || find_option(subject_.options, "betas") == nullptr) return "";
    const StepState own{.lr = 0.1f}, cycled{.lr = 0.1f, .beta1 = 0.999, .beta2 = 0};
    return same_bits(after_a_turn(own), after_a_turn(cycled)) ? "a schedule's betas were not seen"
                                                              : "";
  }

  Verdict grad_factor() {
    const std::vector<float> scaled = after(3, {.gradient = 4}, {.lr = 0.1f, .grad_factor = 0.25f});
    return difference(scaled, after(3)) <= 1e-6
               ? ""
               : "gradients times 4 with grad_factor 1/4 are not the same gradients";
  }

  Verdict scales() {
    const std::vector<float> scaled = after(3, {.lr_scale = 0.5f}, {.lr = 0.2f});
    if (!(difference(scaled, after(3)) <= 1e-5)) {
      return "lr_scale 1/2 with twice the learning rate is not the same";
    }
    const std::vector<float> still = after(2, {.decay_scale = 0, .gradient = 0});
    return same_bits(still, after(0)) ? "" : "weights without gradient and with decay_scale 0 move";
  }

  Verdict resume() {
    const auto one = make(), two = make();
    Training t(context(), *one);
    t.bind(*one);
    t.step(*one);
    t.bind(*two);
    t.step(*two);
    return same_bits(t.weights(), after(2)) ? ""
                                            : "a new instance on the same state goes elsewhere";
  }

  Verdict rebind() {
    const auto optimizer = make();
    Training t(context(), *optimizer);
    t.bind(*optimizer);
    t.step(*optimizer);
    t.move();
    t.bind(*optimizer);
    t.step(*optimizer);
    return same_bits(t.weights(), after(2)) ? "" : "after a second bind it goes elsewhere";
  }

  Verdict shards() {
    if (make()->needs_whole_tensors()) return Verdict::skip("it needs whole tensors");
    return difference(after(2, {.shards = true}), after(2)) <= 1e-6
               ? ""
               : "a tensor cut in two shards gets other weights";
  }

  Verdict masters() {
    const auto optimizer = make();
    Training t(context(), *optimizer, {.value = DType::kBF16});
    t.bind(*optimizer);
    for (int i = 0; i < 3; ++i) t.step(*optimizer);
    if (!(difference(t.weights(), after(3)) <= 1e-5)) {
      return "the f32 masters of bf16 values differ from f32 values";
    }
    const std::vector<float> values = t.values(), masters = t.weights();
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] != static_cast<float>(value_of_master<BFloat16>(masters[i]))) {
        return "a bf16 value is not its master, rounded";
      }
    }
    return "";
  }

  /// Weights and values of bf16 after some steps, the weights' first.
  std::vector<float> low_precision(const TrainingOptions& options) {
    const auto optimizer = make();
    Training t(context(), *optimizer, options);
    t.bind(*optimizer);
    for (int i = 0; i < 5; ++i) t.step(*optimizer);
    std::vector<float> all = t.weights();
    const std::vector<float> values = t.values();
    all.insert(all.end(), values.begin(), values.end());
    return all;
  }

  /// Whether it takes more than f32 masters and gradients.
  bool reads_every_storage() const { return make()->facet("weight_storage") != nullptr; }

  Verdict split_masters() {
    if (!reads_every_storage()) return Verdict::skip("not promised by its facets");
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{6, 5}, {64, 96}}) {
      const TrainingOptions options{.shape = shape, .value = DType::kBF16};
      TrainingOptions split = options;
      split.split = true;
      if (!same_bits(low_precision(split), low_precision(options))) {
        return "with the bits below bf16 values instead of f32 masters it goes elsewhere";
      }
    }
    return "";
  }

  /// A gradient in the value's dtype is the same gradient in f32.
  Verdict gradient_dtypes() {
    if (!reads_every_storage()) return Verdict::skip("not promised by its facets");
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      const TrainingOptions options{.shape = {24, 40}, .value = dtype, .grad = dtype};
      TrainingOptions wide = options;
      wide.grad = DType::kF32;
      wide.rounded_gradient = dtype;
      if (!same_bits(low_precision(options), low_precision(wide))) {
        return fmt::format("gradients of {} and the same in f32 lead to other weights",
                           name_of(dtype));
      }
    }
    return "";
  }

  Verdict descends() {
    if (!subject_.defaults) return Verdict::skip("only with the defaults");
    const auto optimizer = make();
    Training t(context(), *optimizer);
    t.state.lr = 0.01f;
    t.bind(*optimizer);
    const double before = dot(t.weights(), t.weights());
    for (int i = 0; i < 60; ++i) {
      t.slope();
      t.step(*optimizer);
    }
    const double now = dot(t.weights(), t.weights());
    return now < before ? "" : fmt::format("|w|^2 went from {:.3g} to {:.3g}", before, now);
  }

  Verdict edges() {
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{0}, {1}, {1, 1}, {3, 1, 7}, {211, 199}}) {
      const auto optimizer = make();
      Training t(context(), *optimizer, {.shape = shape});
      t.bind(*optimizer);
      const std::vector<float> before = t.weights();
      t.step(*optimizer);
      const std::vector<float> now = t.weights();
      if (subject_.defaults && !finite(now)) return "a weight is not finite";
      if (subject_.defaults && !now.empty() && now.back() == before.back()) {
        return fmt::format("the last of {} elements did not move", now.size() / 2);
      }
      if (!t.bench.intact()) return "wrote outside a tensor";
    }
    return "";
  }

  const Subject& subject_;
  Report& report_;
};

}  // namespace

void check_optimizer(const Subject& subject, Report& report) {
  OptimizerChecks(subject, report).run();
}

}  // namespace moiety::testing
