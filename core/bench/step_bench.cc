#include "core/bench/step_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/strings.h"
#include "core/train/batch_loader.h"
#include "core/train/graph_mode.h"
#include "core/train/memory_report.h"
#include "core/train/profile.h"
#include "core/train/session.h"
#include "core/train/step_runner.h"

namespace moiety::bench {

namespace {

/// After the first step, which sizes the arenas; the next one is captured.
constexpr int kWarmUp = 3;
constexpr double kGiB = 1 << 30;

std::vector<float> on_host(const DeviceContext& context, const TensorView& tensor) {
  std::vector<float> host(static_cast<size_t>(tensor.numel()));
  context.copy(host.data(), tensor.ptr, host.size() * sizeof(float));
  context.synchronize();
  return host;
}

/// What the last step's router did, over all MoE layers.
struct Routing {
  std::vector<double> kept;  // choices a token that an expert computed, of each layer
  double dropped = 0;        // share of all choices
  double imbalance = 0;      // the worst layer's busiest expert, over the mean
};

Routing last_routing(const DeviceContext& context, const StepRunner& runner) {
  const StepSums& sums = runner.sums().sums();
  const std::vector<float> chosen = on_host(context, sums.chosen),
                           dropped = on_host(context, sums.dropped),
                           tokens = on_host(context, sums.tokens);
  const auto most = static_cast<size_t>(runner.shape().most_experts);
  Routing routing;
  double all = 0, lost = 0;
  for (size_t layer = 0; layer < tokens.size(); ++layer) {
    const auto experts = static_cast<size_t>(runner.shape().experts[layer]);
    double sum = 0, least = 0, busiest = 0;
    for (size_t i = layer * most; i < layer * most + experts; ++i) {
      sum += static_cast<double>(chosen[i]), least += static_cast<double>(dropped[i]);
      busiest = std::max(busiest, static_cast<double>(chosen[i]));
    }
    routing.kept.push_back((sum - least) / std::max(1.0, static_cast<double>(tokens[layer])));
    routing.imbalance =
        std::max(routing.imbalance, busiest * static_cast<double>(experts) / std::max(1.0, sum));
    all += sum, lost += least;
  }
  routing.dropped = all > 0 ? lost / all : 0;
  return routing;
}

/// Forward and backward, in 10^12.
double teraflops(const Model& model, const Routing& routing, double tokens) {
  double forward = model.flops_per_token();
  const std::vector<double> per_choice = model.flops_per_choice();
  for (size_t i = 0; i < per_choice.size(); ++i) forward += per_choice[i] * routing.kept.at(i);
  return 3 * forward * tokens / 1e12;
}

/// `steps` steps as a stream, by phase.
StepProfile profile(DeviceContext& context, StepRunner& runner, BatchLoader& loader, int steps) {
  StepProfile profile;
  for (int i = 0; i < steps; ++i) {
    PhaseTimer timer(context);
    loader.next(context, runner.batch());
    runner.run(/*graph=*/false, &timer);
    profile.add(i, timer);
  }
  return profile;
}

}  // namespace

StepBench bench_step(const RunConfig& config, const std::string& name, PluginRegistry& plugins,
                     const StepBenchOptions& options) {
  const Session session = make_session(config, plugins);
  DeviceContext& context = *session.context;
  context.reset_peak();
  const BatchLayout layout(train_shape(config), *session.data, config.model.vocab_size,
                           end_of_document_token(*session.objective));
  StepRunner runner({session.context.get(), session.model.get(), session.objective.get(),
                     session.optimizer.get(), &layout},
                    config);
  BatchLoader::Options order;
  order.seed = config.run.seed;
  BatchLoader loader(*session.data, layout, order);
  const bool graph = captures_steps(config, plugins, context);

  StepBench out;
  out.row.what = "step", out.row.shape = name;
  out.row.tokens = static_cast<double>(layout.shape().tokens());
  loader.next(context, runner.batch());
  const MemoryReport memory = run_first_step(config, session, runner, graph);
  out.row.times = time_calls(context, kWarmUp, options.iterations, [&](int) {
    loader.next(context, runner.batch());
    runner.run(graph);
  });
  // After the graph, and whatever the driver loaded later: what the first step told in advance.
  const DeviceMemory end = device_memory(context);
  const bool gpu = context.device().type == DeviceType::kCuda;
  const size_t used = gpu ? end.total - end.free : context.peak_bytes();
  out.memory = fmt::format("memory after the first step\n{}\n  in use after the last one {}\n",
                           memory_table(memory), short_bytes(static_cast<double>(used)));
  out.row.memory = to_json(memory);
  out.row.memory.set("in_use_at_the_end", used);
  const Routing routing = last_routing(context, runner);
  out.row.teraflops = teraflops(*session.model, routing, out.row.tokens);
  out.row.peak_gib = static_cast<double>(context.peak_bytes()) / kGiB;
  out.row.detail = graph ? "captured in a graph" : "as a stream";
  if (!routing.kept.empty()) {
    out.row.detail += fmt::format(", busiest expert {:.2f} of the mean, {:.1f} % dropped",
                                  routing.imbalance, 100 * routing.dropped);
  }
  if (options.profile > 0) {
    const StepProfile steps = profile(context, runner, loader, options.profile);
    out.phases = steps.table(layout.shape().tokens());
    out.trace = steps.chrome_trace();
  }
  return out;
}

}  // namespace moiety::bench
