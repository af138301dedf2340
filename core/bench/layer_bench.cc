#include "core/bench/layer_bench.h"

#include <algorithm>
#include <vector>

#include "core/bench/compare.h"
#include "core/bench/moe_layer_run.h"
#include "core/model/model.h"

namespace moiety::bench {

namespace {

constexpr int64_t kCheckedTokens = 1024;
constexpr int kWarmUp = 5;
constexpr double kGiB = 1 << 30;

struct Tensors {
  TensorView x, dout, out, dx;
};

Tensors random_tensors(Ground& ground, DType dtype, int64_t tokens, int64_t width, uint32_t seed) {
  return {ground.random(dtype, {tokens, width}, seed),
          ground.random(dtype, {tokens, width}, seed + 1), ground.make(dtype, {tokens, width}),
          ground.make(dtype, {tokens, width})};
}

Comparison compare(MoeLayerRun& layer, MoeLayerRun& reference, DType compute, int64_t tokens,
                   double tolerance) {
  const int64_t width = layer.width();
  const Tensors t = random_tensors(layer.ground(), compute, tokens, width, 1);
  const Tensors r = random_tensors(reference.ground(), DType::kF32, tokens, width, 1);
  Exec& exec = reference.ground().exec();
  ops::copy(exec, t.x, r.x);  // rounded alike: the routers see the same numbers
  ops::copy(exec, t.dout, r.dout);
  reference.take_weights(layer);
  layer.run(t.x, t.dout, t.out, t.dx);
  reference.run(r.x, r.dout, r.out, r.dx);
  Comparison check(tolerance);
  const auto add = [&](const std::string& name, const TensorView& got, const TensorView& expected) {
    check.add(name, layer.ground(), got, reference.ground(), expected);
  };
  add("output", t.out, r.out);
  add("dx", t.dx, r.dx);
  for (TableEntry& entry : layer.table().entries()) {
    if (!entry.parameter.grad) continue;
    add(entry.name.substr(4), entry.parameter.grad,  // without "moe."
        reference.table().find(entry.name)->parameter.grad);
  }
  return check;
}

}  // namespace

Row bench_layer(const RunConfig& config, const std::string& name, PluginRegistry& plugins,
                DeviceContext& context, int iterations) {
  const DType compute = compute_dtype(config.precision);
  const int64_t tokens = config.micro_batch_size * config.model.sequence_length;
  MoeLayerRun layer(config, plugins, context, table_form(config));
  layer.ground().exec().impl().fp8_parts = fp8_parts(config);
  Row row;
  row.what = "layer", row.shape = name;
  {
    MoeLayerRun reference(config, plugins, context, TableForm{});
    const Comparison check = compare(layer, reference, compute, std::min(tokens, kCheckedTokens),
                                     config.fp8.enabled ? kFp8Tolerance : kTolerance);
    row.right = check.right(), row.tolerance = check.tolerance();
    row.detail = "against f32: " + check.text();
  }
  if (!row.right) return row;
  layer.ground().memory().rewind();
  std::vector<Tensors> inputs;
  for (uint32_t i = 0; i < 3; ++i) {
    inputs.push_back(random_tensors(layer.ground(), compute, tokens, layer.width(), 10 + 2 * i));
  }
  context.reset_peak();
  row.times = time_calls(context, kWarmUp, iterations, [&](int i) {
    const Tensors& t = inputs[static_cast<size_t>(i) % inputs.size()];
    layer.run(t.x, t.dout, t.out, t.dx);
  });
  row.tokens = static_cast<double>(tokens);
  row.teraflops = 3 * layer.forward_flops(tokens, layer.kept()) / 1e12;
  row.peak_gib = static_cast<double>(context.peak_bytes()) / kGiB;
  return row;
}

}  // namespace moiety::bench
