// losses.h5, mos_kl: the objective plugin `mos` against PyTorch's KLDivLoss as Megatron-DeepSpeed
// calls it.
#include <moiety/objective.h>

#include "core/base/check.h"
#include "core/testing/parity_suite.h"

namespace moiety::testing {

namespace {

ComponentChoice mos_choice(Parity& parity, const h5::File& file, const std::string& path) {
  const OptionMap given = {{"teacher", std::string("recorded")},
                           {"alpha", 0.0},  // the divergence alone
                           {"beta", file.number(path, "kd_beta_ce")},
                           {"temperature", file.number(path, "kd_temp")}};
  return {"mos", complete_options(parity.plugins.find(ComponentKind::kObjective, "mos"), given)};
}

}  // namespace

void compare_distillation(Parity& parity, const h5::File& file, const std::string& path) {
  const ComponentChoice choice = mos_choice(parity, file, path);
  const auto mos = parity.plugins.create<Objective>(choice.type, choice.options, ModelDims{});
  MOIETY_CHECK(mos->wants_teacher(0), "mos wants no teacher");
  const std::vector<int64_t> shape = file.info(path + "/student_logits").shape;
  const int64_t rows = shape.at(0) * shape.at(1), vocab = shape.at(2);
  ParityBench bench(parity.context);
  ObjectiveInputs in;
  in.logits = bench.put(file.floats(path + "/student_logits"), {rows, vocab});
  in.teacher_logits = bench.put(file.floats(path + "/teacher_logits"), {rows, vocab});
  in.denominator = bench.put({static_cast<float>(rows)}, {1});
  TensorView targets = bench.zeros({rows});  // zero bits are label 0
  targets.dtype = DType::kI32;
  in.targets = targets;
  const TensorView row_loss = bench.zeros({rows}), grad = bench.zeros({rows, vocab}),
                   metrics = bench.zeros({2});
  mos->evaluate(bench.exec(), in, row_loss, grad, metrics);
  double loss = 0;
  for (const float x : bench.floats(row_loss)) loss += static_cast<double>(x);
  const double expected = file.numbers(path + "/loss").at(0);
  parity.report.add("loss", number_error(loss / static_cast<double>(rows), expected), 1e-6);
  parity.report.add("metric distillation",
                    number_error(static_cast<double>(bench.floats(metrics).at(1)), expected), 1e-6);
  parity.report.add("dstudent", norm_error(bench.floats(grad), file.floats(path + "/dstudent")),
                    1e-5);
}

}  // namespace moiety::testing
