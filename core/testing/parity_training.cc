// optimizers.h5, lr_schedules.h5: the optimizer plugins, the clipping and the learning rates.
#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/config/scheduler.h"
#include "core/model/parameter_table.h"
#include "core/testing/parity_suite.h"
#include "core/train/schedule.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 2e-6;  // ten steps in f32
// Muon multiplies bf16 matrices. Tensor cores sum in another order than the reference's CPU, and a
// sum beside the middle of two bf16 numbers, 2^-8 of it apart, falls to the other one.
constexpr double kBf16ProductTolerance = 2e-4;

/// Parameters under an optimizer plugin, stepped as the trainer does.
class Stepper {
 public:
  Stepper(Parity& parity, const ComponentChoice& choice, double lr, double clip,
          const std::vector<std::vector<int64_t>>& shapes)
      : bench_(parity.context) {
    for (size_t i = 0; i < shapes.size(); ++i) {
      ParamSpec spec;
      spec.shape = shapes[i];
      table_.add("p" + std::to_string(i), spec);
    }
    table_.allocate(parity.context, DType::kF32, /*gradients=*/true);
    optimizer_ = parity.plugins.create<Optimizer>(choice.type, choice.options, ModelDims{});
    slices_ = table_.slices(*optimizer_);
    optimizer_->bind(bench_.exec(), slices_);
    std::vector<TensorView> gradients;
    for (const TableEntry& entry : table_.entries()) gradients.push_back(entry.parameter.grad);
    gradients_.emplace(bench_.exec(), gradients);
    norm_ = bench_.zeros({1});
    ops::StepControl control;
    control.schedule.base = lr;
    control.clip = clip;
    bench_.set_control(control);
  }

  void set(size_t i, const std::vector<float>& values) { table_.write(entry(i), values); }
  std::vector<float> get(size_t i) { return bench_.floats(entry(i).parameter.value); }
  void set_gradient(size_t i, const std::vector<float>& g) {
    bench_.write(entry(i).parameter.grad, g);
  }
  void step() {
    ops::begin_step(bench_.exec(), bench_.control());
    ops::global_norm(bench_.exec(), *gradients_, norm_);
    ops::finish_gradients(bench_.exec(), norm_, bench_.control());
    optimizer_->step(bench_.exec());
    ops::end_step(bench_.exec(), bench_.control());
  }
  double norm() { return static_cast<double>(bench_.floats(norm_)[0]); }

 private:
  TableEntry& entry(size_t i) { return table_.entries()[i]; }
  ParityBench bench_;
  ParameterTable table_;
  std::shared_ptr<Optimizer> optimizer_;
  std::vector<ParamSlice> slices_;
  std::optional<ops::TensorList> gradients_;
  TensorView norm_;
};

void compare_optimizer(Parity& parity, const h5::File& file, const std::string& group,
                       const char* plugin) {
  ComponentChoice choice =
      choice_from(parity.plugins, ComponentKind::kOptimizer, plugin, file, group);
  if (group == "adam_l2") {
    for (auto& [name, value] : choice.options) {
      if (name == "adam_w_mode") value = false;
    }
  }
  const std::vector<int64_t> shape = file.info(group + "/params").shape;
  const std::vector<float> params = file.floats(group + "/params"),
                           grads = file.floats(group + "/grads");
  MOIETY_CHECK(shape.size() == 3, "params: expected [steps, out, in]");
  const int64_t out = shape[1], in = shape[2];
  // torch's matrices are [out, in], ours [in, out]: Muon's rate depends on which is which.
  const auto part = [out, in](const std::vector<float>& all, int64_t i) {
    std::vector<float> turned;
    for (int64_t c = 0; c < in; ++c) {
      for (int64_t r = 0; r < out; ++r) {
        turned.push_back(all[static_cast<size_t>((i * out + r) * in + c)]);
      }
    }
    return turned;
  };
  Stepper stepper(parity, choice, file.number(group, "lr"), 0, {{in, out}});
  stepper.set(0, part(params, 0));
  double worst = 0;
  for (int64_t i = 0; i + 1 < shape.at(0); ++i) {
    stepper.set_gradient(0, part(grads, i));
    stepper.step();
    const double error = largest_error(stepper.get(0), part(params, i + 1));
    worst = error <= worst ? worst : error;
  }
  const bool bf16_products = group == "muon" && parity.context.device().type == DeviceType::kCuda;
  parity.report.add(fmt::format("params, {} steps", shape.at(0) - 1), worst,
                    bf16_products ? kBf16ProductTolerance : kTolerance);
}

/// "0", "1", ...: the gradients g0, g1, ... of the reference.
std::vector<std::string> gradients_of(const h5::File& file, const std::string& group) {
  std::vector<std::string> numbers;
  while (file.exists(group + "/g" + std::to_string(numbers.size()))) {
    numbers.push_back(std::to_string(numbers.size()));
  }
  MOIETY_CHECK(!numbers.empty(), "no gradient g0");
  return numbers;
}

/// The limit that the reference clipped to, from what it made of the gradients.
double clip_limit(const h5::File& file, const std::string& group, double norm) {
  if (file.has_attribute(group, "max_norm")) return file.number(group, "max_norm");
  double before = 0, after = 0;
  for (const std::string& i : gradients_of(file, group)) {
    const std::vector<double> g = file.numbers(group + "/g" + i),
                              c = file.numbers(group + "/clipped" + i);
    for (size_t n = 0; n < g.size(); ++n) before += g[n] * g[n], after += g[n] * c.at(n);
  }
  return after / before * (norm + 1e-6);
}

/// Descent with rate 1 from 0 leaves minus the clipped gradient.
void compare_clipping(Parity& parity, const h5::File& file, const std::string& group) {
  const double norm = file.numbers(group + "/norm").at(0);
  const OptionMap plain =
      complete_options(parity.plugins.find(ComponentKind::kOptimizer, "sgd"),
                       {{"momentum", 0.0}, {"weight_decay", 0.0}, {"nesterov", false}});
  const std::vector<std::string> names = gradients_of(file, group);
  std::vector<std::vector<int64_t>> shapes;
  shapes.reserve(names.size());
  for (const std::string& i : names) shapes.push_back(file.info(group + "/g" + i).shape);
  Stepper stepper(parity, {"sgd", plain}, 1, clip_limit(file, group, norm), shapes);
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<float> g = file.floats(group + "/g" + names[i]);
    stepper.set_gradient(i, g);
    std::fill(g.begin(), g.end(), 0.f);
    stepper.set(i, g);
  }
  stepper.step();
  parity.report.add("norm", number_error(stepper.norm(), norm), 1e-6);
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<float> clipped = stepper.get(i);
    for (float& x : clipped) x = -x;
    const std::string name = "clipped" + names[i];
    parity.report.add(name, largest_error(clipped, file.floats(group + "/" + name)), 1e-6);
  }
}

const config::SchedulerType& schedule_type(const std::string& name) {
  for (const config::SchedulerType& type : config::scheduler_types()) {
    if (type.name == name) return type;
  }
  throw Error("no schedule " + name);
}

Schedule schedule_from(const h5::File& file, const std::string& group) {
  RunConfig config;
  config.base_lr = file.number(group, "base_lr");
  config.scheduler_type = group.substr(0, group.find('_'));  // WarmupLR_log, WarmupLR_linear
  for (const OptionSpec& spec : schedule_type(config.scheduler_type).schema) {
    if (!file.has_attribute(group, spec.name)) continue;
    config.scheduler_options.emplace_back(spec.name,
                                          value_of(file.attribute(group, spec.name), spec.type));
  }
  return make_schedule(config);
}

}  // namespace

void compare_optimizers(Parity& parity) {
  const char* reference = "optimizers.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& group : file->children("")) {
    const char* plugin = group == "adamw"      ? "adamw"
                         : group == "adam_l2"  ? "adam"
                         : group == "sgd"      ? "sgd"
                         : group == "lion_ref" ? "lion"
                         : group == "muon"     ? "muon"
                                               : nullptr;
    if (plugin != nullptr) {
      compare_case(parity, reference, group,
                   [&] { compare_optimizer(parity, *file, group, plugin); });
    } else if (group == "clip_grad_norm") {
      compare_case(parity, reference, group, [&] { compare_clipping(parity, *file, group); });
    } else {
      parity.report.later(reference, group, "no such optimizer yet");
    }
  }
}

void compare_schedules(Parity& parity) {
  const char* reference = "lr_schedules.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& group : file->children("")) {
    compare_case(parity, reference, group, [&] {
      ParityBench bench(parity.context);
      ops::StepControl control;
      control.schedule = schedule_from(*file, group);
      bench.set_control(control);
      const std::vector<double> expected = file->numbers(group + "/lr");
      double worst = 0, worst_on_device = 0;  // both relative to the largest rate
      const double top = std::max(1e-30, *std::max_element(expected.begin(), expected.end()));
      const auto widen = [top](double& largest, double got, double rate) {
        const double error = std::abs(got - rate) / top;
        largest = error <= largest ? largest : error;  // a NaN stays
      };
      for (size_t i = 0; i < expected.size(); ++i) {
        const auto update = static_cast<int64_t>(i) + 1;
        ops::begin_step(bench.exec(), bench.control());
        const auto on_device = static_cast<double>(bench.read_control().step.lr);
        ops::end_step(bench.exec(), bench.control());
        widen(worst, control.schedule.at(update), expected[i]);
        widen(worst_on_device, on_device, expected[i]);
      }
      parity.report.add("lr", worst, 1e-12);
      parity.report.add("lr of the step", worst_on_device, 1e-6);
    });
  }
}

}  // namespace moiety::testing
