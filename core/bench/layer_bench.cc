#include "core/bench/layer_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/bench/moe_layer_run.h"
#include "core/model/model.h"

namespace moiety::bench {

namespace {

constexpr int64_t kCheckedTokens = 1024;
constexpr int64_t kCompared = int64_t{1} << 26;  // elements of a tensor that are compared
constexpr int kWarmUp = 5;
constexpr double kGiB = 1 << 30;

double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = static_cast<double>(got[i]) - static_cast<double>(expected[i]);
    error += d * d;
    norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  return std::sqrt(error / std::max(norm, 1e-300));  // NaN stays
}

/// All of a tensor, or the slices of the first and the last expert where it is large.
std::vector<TensorView> compared(const TensorView& tensor) {
  if (tensor.numel() <= kCompared) return {tensor};
  return {tensor.slice(0, 0, 1), tensor.slice(0, tensor.dim(0) - 1, 1)};
}

struct Check {
  std::string text;
  double worst = 0;
  void add(const std::string& name, double error) {
    text += fmt::format("{}{} {:.1e}", text.empty() ? "" : ", ", name, error);
    if (!(error <= worst)) worst = error;
  }
};

struct Tensors {
  TensorView x, dout, out, dx;
};

Tensors random_tensors(Ground& ground, DType dtype, int64_t tokens, int64_t width, uint32_t seed) {
  return {ground.random(dtype, {tokens, width}, seed),
          ground.random(dtype, {tokens, width}, seed + 1), ground.make(dtype, {tokens, width}),
          ground.make(dtype, {tokens, width})};
}

Check compare(MoeLayerRun& layer, MoeLayerRun& reference, DType compute, int64_t tokens) {
  const int64_t width = layer.width();
  const Tensors t = random_tensors(layer.ground(), compute, tokens, width, 1);
  const Tensors r = random_tensors(reference.ground(), DType::kF32, tokens, width, 1);
  Exec& exec = reference.ground().exec();
  ops::copy(exec, t.x, r.x);  // rounded alike: the routers see the same numbers
  ops::copy(exec, t.dout, r.dout);
  reference.take_weights(layer);
  layer.run(t.x, t.dout, t.out, t.dx);
  reference.run(r.x, r.dout, r.out, r.dx);
  Check check;
  const auto add = [&](const std::string& name, const TensorView& got, const TensorView& expected) {
    const std::vector<TensorView> mine = compared(got), its = compared(expected);
    double worst = 0;
    for (size_t i = 0; i < mine.size(); ++i) {
      const double error =
          relative_error(layer.ground().floats(mine[i]), reference.ground().floats(its[i]));
      if (!(error <= worst)) worst = error;
    }
    check.add(name, worst);
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

LayerBench bench_layer(const RunConfig& config, const std::string& name, PluginRegistry& plugins,
                       DeviceContext& context, int iterations) {
  const DType compute = compute_dtype(config.precision);
  const int64_t tokens = config.micro_batch_size * config.model.sequence_length;
  MoeLayerRun layer(config, plugins, context, compute);
  LayerBench out;
  out.row.what = "layer", out.row.shape = name;
  {
    MoeLayerRun reference(config, plugins, context, DType::kF32);
    const Check check = compare(layer, reference, compute, std::min(tokens, kCheckedTokens));
    out.right = check.worst <= kLayerTolerance;
    out.row.detail = "against f32: " + check.text;
  }
  if (!out.right) return out;
  layer.ground().memory().rewind();
  std::vector<Tensors> inputs;
  for (uint32_t i = 0; i < 3; ++i) {
    inputs.push_back(random_tensors(layer.ground(), compute, tokens, layer.width(), 10 + 2 * i));
  }
  context.reset_peak();
  out.row.times = time_calls(context, kWarmUp, iterations, [&](int i) {
    const Tensors& t = inputs[static_cast<size_t>(i) % inputs.size()];
    layer.run(t.x, t.dout, t.out, t.dx);
  });
  out.row.tokens = static_cast<double>(tokens);
  out.row.teraflops = 3 * layer.forward_flops(tokens, layer.kept()) / 1e12;
  out.row.peak_gib = static_cast<double>(context.peak_bytes()) / kGiB;
  return out;
}

}  // namespace moiety::bench
