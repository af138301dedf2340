// deepspeed/dynamic_loss_scaler.jsonl: the scale over traces of overflows, and what overflows.
#include <cmath>
#include <sstream>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/testing/parity_suite.h"
#include "core/train/schedule.h"

namespace moiety::testing {

namespace {

/// The rule of DeepSpeed's FP16_Optimizer, which has no hysteresis and no end.
bool halves_at_once(const Json& trace) { return trace.at("class").string() == "FP16_Optimizer"; }

RunConfig config_of(const Json& trace) {
  RunConfig config;
  config.precision = Precision::kF16;
  Fp16Config& f = config.fp16;
  f.initial_scale_power = trace.at("initial_scale_power").integer();
  f.loss_scale_window = trace.at("loss_scale_window").integer();
  f.min_loss_scale = trace.at("min_loss_scale").number();
  if (halves_at_once(trace)) {
    f.hysteresis = 1;
    f.raise_error_at_min_scale = false;
  } else {
    f.hysteresis = trace.at("hysteresis").integer();
    f.consecutive_hysteresis = trace.at("consecutive_hysteresis").boolean();
    f.raise_error_at_min_scale = trace.at("raise_error_at_min_scale").boolean();
  }
  return config;
}

bool truth(const Json& value) { return value.is_bool() ? value.boolean() : value.number() != 0; }

/// Steps after which the scale, the last overflow or, where there is one, the hysteresis counter
/// differ.
void compare_trace(Parity& parity, const Json& trace) {
  LossScaler scaler = make_loss_scaler(config_of(trace));
  const bool plain = halves_at_once(trace);
  const Json::Array &overflow = trace.at("overflow").array(),
                    &scale = trace.at("loss_scale").array(),
                    &last = trace.at("last_overflow_iter").array();
  double wrong = 0;
  int64_t raised = -1;
  for (size_t i = 0; i < overflow.size(); ++i) {
    scaler.update(truth(overflow[i]));
    if (scaler.exhausted != 0) {
      raised = static_cast<int64_t>(i);
      break;
    }
    if (i >= scale.size()) break;
    const bool same =
        scaler.scale == scale[i].number() && scaler.last_overflow == last.at(i).integer() &&
        (plain || scaler.hysteresis_left == trace.at("cur_hysteresis").array().at(i).integer());
    wrong += same ? 0 : 1;
  }
  int64_t expected = -1;
  if (!plain && !trace.at("raised").is_null()) expected = trace.at("raised").at("at").integer();
  parity.report.add(fmt::format("{} updates", scale.size()), wrong, 0);
  parity.report.add("end at the minimum", raised == expected ? 0 : 1, 0);
}

double number_from(const Json& value) {
  if (value.is_number()) return value.number();
  return std::stod(value.string());
}

/// The trainer skips a batch exactly where the reference sees an overflow.
void compare_overflow(Parity& parity, const Json& line) {
  ParityBench bench(parity.context);
  std::vector<float> values;
  for (const Json& value : line.at("values").array()) {
    values.push_back(static_cast<float>(number_from(value)));
  }
  const TensorView gradient = bench.put(values, {static_cast<int64_t>(values.size())}),
                   norm = bench.zeros({1});
  const ops::TensorList list(bench.exec(), {&gradient, 1});
  ops::begin_step(bench.exec(), bench.control());
  ops::global_norm(bench.exec(), list, norm);
  ops::finish_gradients(bench.exec(), norm, bench.control());
  const bool skipped = bench.read_control().step.skip != 0;
  parity.report.add("skip", skipped == truth(line.at("overflow")) ? 0 : 1, 0);
}

void compare_static(Parity& parity, const Json& line) {
  RunConfig config;
  config.fp16.loss_scale = line.at("static").number();
  const std::pair<const char*, Precision> cases[] = {
      {"fp16", Precision::kF16}, {"bf16", Precision::kBF16}, {"fp32", Precision::kF32}};
  for (const auto& [name, precision] : cases) {
    config.precision = precision;
    parity.report.add(name, number_error(make_loss_scaler(config).scale, line.at(name).number()),
                      0);
  }
}

}  // namespace

void compare_loss_scaler(Parity& parity) {
  const std::string reference = "deepspeed/dynamic_loss_scaler.jsonl";
  std::istringstream lines;
  try {
    lines.str(read_file(parity.golden / reference));
  } catch (const Error& e) {
    parity.report.begin(reference, "");
    return parity.report.fail("", e.what());
  }
  int64_t number = 0;
  for (std::string text; std::getline(lines, text);) {
    const std::string item = fmt::format("line {:02}", ++number);
    if (text.empty()) continue;
    Json line;
    std::string kind;
    try {
      line = Json::parse(text);
      kind = line.at("class").string();
    } catch (const Error& e) {
      parity.report.begin(reference, item);
      parity.report.fail("", e.what());
      continue;
    }
    const auto run = [&](void (*compare)(Parity&, const Json&)) {
      compare_case(parity, reference, item + " " + kind, [&] { compare(parity, line); });
    };
    if (kind == "DynamicLossScaler" || kind == "FP16_Optimizer") {
      run(compare_trace);
    } else if (kind == "has_inf_or_nan") {
      run(compare_overflow);
    } else if (kind == "LossScaler") {
      run(compare_static);
    } else {
      parity.report.later(reference, item + " " + kind, "no such rule here");
    }
  }
}

}  // namespace moiety::testing
