// residual_moe.h5: PR-MoE's dense MLP, its coefficient, and how they are mixed with a recorded
// output of the routed experts.
#include <string>
#include <vector>

#include <moiety/ops.h>

#include "core/base/check.h"
#include "core/checkpoint/shapes.h"
#include "core/model/dense_branch.h"
#include "core/model/moe_parts.h"
#include "core/testing/parity_suite.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 1e-6;

/// Moiety's parameter and the reference's; a matrix of the reference is its transpose.
struct Weight {
  const char *ours, *reference;
  std::vector<int64_t> shape;  // of the reference
};

std::vector<float> turned(const std::vector<float>& values, const std::vector<int64_t>& shape) {
  return shape.size() == 2 ? transposed(values, shape[0], shape[1]) : values;
}

/// The dense branch as the plugin asks for it; the reference has the GELU of Megatron.
MoeDesign design(Parity& parity, const ModelDims& dims) {
  MoeConfig config;
  config.hidden = dims.hidden;
  config.gate = {"top1", complete_options(parity.plugins.find(ComponentKind::kGating, "top1"), {})};
  const ComponentInfo& expert = parity.plugins.find(ComponentKind::kExpert, "residual");
  config.expert = {"residual", complete_options(expert, {{"activation", Value("gelu_tanh")}})};
  return design_moe_layer(plugin_factory(config, parity.plugins), config, dims, /*experts=*/4,
                          /*moe_layer=*/0);
}

void compare_mix(Parity& parity, const h5::File& file) {
  const std::vector<int64_t> shape = file.info("x").shape;
  const int64_t T = shape.at(0), D = shape.at(1), H = file.info("fc1_bias").shape.at(0);
  ModelDims dims;
  dims.model = D, dims.hidden = H;
  ParityBench bench(parity.context);
  ParameterTable table;
  const MoeParts parts = design(parity, dims).parts;
  const DenseMix mix(table, "moe", parts.shape, dims, parts.dense);
  table.allocate(parity.context, DType::kF32, /*gradients=*/true);
  const Weight weights[] = {
      {"moe.coefficient.weight", "coef_weight", {2, D}}, {"moe.coefficient.bias", "coef_bias", {2}},
      {"moe.dense.w_in", "fc1_weight", {H, D}},          {"moe.dense.b_in", "fc1_bias", {H}},
      {"moe.dense.w_out", "fc2_weight", {D, H}},         {"moe.dense.b_out", "fc2_bias", {D}}};
  for (const Weight& w : weights) {
    TableEntry* entry = table.find(w.ours);
    MOIETY_CHECK(entry != nullptr, "the layer has no parameter {}", w.ours);
    table.write(*entry, turned(file.floats(w.reference), w.shape));
  }
  const auto put = [&](const char* name) { return bench.put(file.floats(name), {T, D}); };
  const TensorView x = put("x"), out = bench.zeros({T, D}), dmoe = bench.zeros({T, D});
  const TensorView dx = bench.zeros({T, D}), dx32 = bench.zeros({T, D});
  const AllRows all(bench.exec(), bench.memory(), T);
  DenseCall call(bench.memory());
  mix.forward(bench.exec(), bench.memory(), all, x, put("moe_output"), call, out);
  ops::copy(bench.exec(), mix.backward(bench.exec(), all, x, call, put("dy"), dx, dx32), dmoe);
  ops::add(bench.exec(), dx, dx32, dx);

  ParityReport& report = parity.report;
  report.add("y", norm_error(bench.floats(out), file.floats("y")), kTolerance);
  report.add("d moe_output", norm_error(bench.floats(dmoe), file.floats("dmoe_output")),
             kTolerance);
  report.add("d x", norm_error(bench.floats(dx), file.floats("dx")), kTolerance);
  for (const Weight& w : weights) {
    const std::string name = std::string("d") + w.reference;
    report.add(name,
               norm_error(bench.floats(table.find(w.ours)->parameter.grad),
                          turned(file.floats(name), w.shape)),
               kTolerance);
  }
}

}  // namespace

void compare_residual(Parity& parity) {
  const char* reference = "residual_moe.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  compare_case(parity, reference, "mix", [&] { compare_mix(parity, *file); });
}

}  // namespace moiety::testing
