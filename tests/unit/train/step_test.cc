// The step as a whole, on a small model: accumulation, graph mode, learning, and what routing
// gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/train/evaluator.h"
#include "core/train/memory_report.h"
#include "tests/unit/train/small_run.h"

namespace moiety {
namespace {

TEST(Step, AccumulationGivesTheGradientOfTheWholeBatch) {
  SmallRun whole({"train_micro_batch_size_per_gpu=8", "moe.enabled=false"});
  SmallRun parts(
      {"train_micro_batch_size_per_gpu=2", "gradient_accumulation_steps=4", "moe.enabled=false"});
  whole.steps(1);
  parts.steps(1);
  EXPECT_NEAR(whole.loss(), parts.loss(), 1e-5);
  const double a = static_cast<double>(whole.runner->read_control().grad_norm),
               b = static_cast<double>(parts.runner->read_control().grad_norm);
  EXPECT_GT(a, 0);
  EXPECT_NEAR(a / b, 1, 1e-5);
}

/// Losses over sequences and over the train batch, through the trainer's own counting.
TEST(Step, BalancingOverTheBatchDoesNotChangeWithTheAccumulation) {
  const std::vector<std::string> common = {"moe.moe_loss_coeff=0", "model.dropout=0.1",
                                           "moe.gate.params.k=2",
                                           "optimizer={type: sgd, params: {lr: 0.5}}"};
  const auto step = [&](const std::string& losses, int micro, int steps) {
    std::vector<std::string> overrides = common;
    overrides.push_back("moe.balance_losses={" + losses + "}");
    overrides.push_back("train_micro_batch_size_per_gpu=" + std::to_string(micro));
    overrides.push_back("gradient_accumulation_steps=" + std::to_string(steps));
    auto small = std::make_unique<SmallRun>(overrides);
    small->steps(1);
    return small;
  };
  const auto total = [](const SmallRun& small) {
    const StepSumsBuffer& sums = small.runner->sums();
    const auto* host = static_cast<const float*>(sums.data());
    return total_loss(
        read_sums(host, small.runner->shape(), small.config.gradient_accumulation_steps, 0),
        small.config.moe);
  };
  const auto whole = step("sequence: 0.3, global_batch: 0.3", 8, 1);
  const std::vector<float> expected = whole->weights();
  for (const int parts : {2, 8}) {
    const auto cut = step("sequence: 0.3, global_batch: 0.3", 8 / parts, parts);
    EXPECT_NEAR(total(*cut), total(*whole), 1e-5) << parts;
    const std::vector<float> weights = cut->weights();
    double difference = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      difference = std::max(difference, std::abs(static_cast<double>(weights[i] - expected[i])));
    }
    EXPECT_LT(difference, 2e-6) << parts;
  }
  const double off = total(*step("micro_batch: 0.3", 8, 1));  // the loss that does change
  EXPECT_GT(std::abs(total(*step("micro_batch: 0.3", 1, 8)) - off), 1e-3);
}

/// Everything that changes from step to step: rate, noise, loss scale with a forced overflow.
TEST_P(DeviceStep, AGraphEqualsStreamModeBitForBit) {
  const std::vector<std::string> overrides = {
      "run.device=" + device(),
      "run.deterministic=true",
      "train_micro_batch_size_per_gpu=2",
      "gradient_accumulation_steps=2",
      "model.dropout=0.1",
      "moe.gate={type: top1, params: {use_rts: true}}",
      "moe.balance_losses={sequence: 0.1, global_batch: 0.1, importance: 0.1, load: 0.1}",
      "fp16={enabled: true, initial_scale_power: 22, hysteresis: 1}",
      "scheduler={type: WarmupLR, params: {warmup_num_steps: 8}}"};
  SmallRun stream(overrides), graph(overrides);
  stream.steps(12);
  graph.steps(12, /*graph=*/true);
  EXPECT_EQ(stream.weights(), graph.weights());
  const ops::StepControl control = graph.runner->read_control();
  EXPECT_EQ(control.step.batch, 12);
  EXPECT_GT(control.step.update, 1);
  EXPECT_GT(control.skipped, 0);
  EXPECT_EQ(control.step.lr, stream.runner->read_control().step.lr);
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceStep, testing::Values("cpu", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

TEST_P(DeviceStep, SplitMastersGiveTheSameBits) {
  SmallRun whole(low_precision({})), split(low_precision({"bf16.split_masters=true"}));
  whole.steps(40);
  split.steps(40, /*graph=*/true);
  const std::vector<float> a = whole.weights(), b = split.weights();
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  EXPECT_EQ(whole.loss(), split.loss());
}

TEST_P(DeviceStep, GradientsOfTheProductsTypeAreNearThoseInF32) {
  SmallRun wide(low_precision({})), narrow(low_precision({"data_types.grad_accum_dtype=auto"}));
  int64_t matrices = 0;
  for (const TableEntry& entry : narrow.table().entries()) {
    matrices += entry.parameter.grad.dtype == DType::kBF16 ? 1 : 0;
  }
  EXPECT_EQ(matrices, 2 * (2 + 2 + 2));  // attention, experts and the dense branch of each layer
  wide.steps(1);
  narrow.steps(1);
  const auto norm = [](const SmallRun& run) {
    return static_cast<double>(run.runner->read_control().grad_norm);
  };
  EXPECT_EQ(wide.loss(), narrow.loss());
  EXPECT_NEAR(norm(narrow) / norm(wide), 1, 1e-4);
  EXPECT_NE(norm(narrow), norm(wide));
  wide.steps(60);
  narrow.steps(60);
  EXPECT_NEAR(wide.loss(), narrow.loss(), 0.1);
}

TEST_P(DeviceStep, AnInfiniteGradientOfTheProductsTypeSkipsTheBatch) {
  SmallRun run(low_precision({"data_types.grad_accum_dtype=bf16"}));
  TableEntry& entry = *run.table().find("layers.0.moe.experts.w_out");
  run.table().write(entry, std::vector<float>(run.table().read(entry).size(), 3e38f));
  const std::vector<float> before = run.weights();
  run.steps(1);
  EXPECT_EQ(run.runner->read_control().skipped, 1);
  EXPECT_EQ(run.weights(), before);
}

/// Activations of a decoder of six layers, and what training it gives.
struct Recomputing {
  Recomputing(std::vector<std::string> overrides, const std::string& policy, bool graph) {
    overrides.push_back("model.layers=6");
    overrides.push_back("activation_checkpointing={" + policy + "}");
    SmallRun small(std::move(overrides));
    for (int i = 0; i < 6; ++i) {
      small.steps(1, graph);
      losses.push_back(small.loss());
    }
    weights = small.weights();
    for (const Arena* arena : small.session.model->activation_memory()) {
      activations += arena->peak_bytes();
    }
  }
  std::vector<double> losses;
  std::vector<float> weights;
  size_t activations = 0;
};

void expect_recomputation_changes_nothing(const std::vector<std::string>& overrides) {
  const Recomputing none(overrides, "policy: none", false);
  const auto check = [&](const std::string& policy, bool graph) {
    const Recomputing again(overrides, policy, graph);
    EXPECT_EQ(again.losses, none.losses) << policy << (graph ? ", graph" : ", stream");
    EXPECT_EQ(again.weights, none.weights) << policy << (graph ? ", graph" : ", stream");
    EXPECT_LT(again.activations, none.activations) << policy;
    return again.activations;
  };
  for (const bool graph : {false, true}) {
    const size_t attention = check("policy: selective, part: attention", graph);
    const size_t experts = check("policy: selective, part: experts", graph);
    const size_t full = check("policy: full", graph);
    EXPECT_LT(full, std::min(attention, experts));
    EXPECT_LT(full, none.activations / 2);
  }
}

/// Noise in dropout and gate, a dense branch, losses over the batch: all of it once, and as it was.
TEST_P(DeviceStep, RecomputationDrawsTheSameNoiseAndCountsOnce) {
  for (const char* interval : {"1", "2"}) {
    expect_recomputation_changes_nothing(
        {"run.device=" + device(), "run.deterministic=true", "train_micro_batch_size_per_gpu=2",
         "gradient_accumulation_steps=2", "model.dropout=0.1", "moe.use_residual=true",
         std::string("moe.expert_interval=") + interval,
         "moe.gate={type: top1, params: {use_rts: true}}",
         "moe.balance_losses={sequence: 0.1, global_batch: 0.1, importance: 0.1, load: 0.1}"});
  }
}

TEST_P(DeviceStep, RecomputationKeepsTheBitsInLowPrecision) {
  expect_recomputation_changes_nothing(low_precision({"moe.gate.params.k=2"}));
}

/// A gate that moves its biases by the load of the batch.
TEST_P(DeviceStep, RecomputationLeavesAGatesStateAlone) {
  expect_recomputation_changes_nothing(
      {"run.device=" + device(), "run.deterministic=true", "train_micro_batch_size_per_gpu=4",
       "moe.gate={type: sigmoid_topk, params: {k: 2, bias_update_speed: 0.01}}"});
}

TEST_P(DeviceStep, TheMemoryReportCountsEveryByte) {
  const auto bytes = [](const MemoryReport& report, const char* name) {
    for (const MemoryReport::Part& part : report.parts) {
      if (part.name == name) return static_cast<int64_t>(part.bytes);
    }
    ADD_FAILURE() << "there is no " << name;
    return int64_t{0};
  };
  const auto report_of = [](SmallRun& run) {
    run.loader->next(*run.session.context, run.runner->batch());
    return run_first_step(run.config, run.session, *run.runner, /*graph=*/false);
  };
  const auto run = std::make_unique<SmallRun>(low_precision({}));
  const size_t in_use = run->session.context->bytes_in_use();
  const MemoryReport report = report_of(*run);
  size_t ours = report.total();
  if (device() == "cuda") ours -= static_cast<size_t>(bytes(report, "driver"));
  EXPECT_EQ(ours, run->session.context->bytes_in_use());
  EXPECT_GT(ours, in_use);  // the arenas came with the step
  // Parameters as planned before they were there.
  const MemoryReport plan = planned_memory(run->config, run->registry, *run->session.context);
  for (const char* part : {"weights", "masters", "gradients", "optimizer"}) {
    EXPECT_EQ(bytes(report, part), bytes(plan, part)) << part;
  }
  const int64_t parameters = run->table().total();
  EXPECT_LE(std::abs(bytes(report, "optimizer") - 8 * parameters), 256 * 2 * 100);
  EXPECT_GT(bytes(report, "activations"), 0);
  EXPECT_GT(bytes(report, "workspace"), 0);
  run->steps(5, /*graph=*/true);
  EXPECT_EQ(run->session.context->bytes_in_use(), ours)
      << "something was allocated after the first step";
  const auto small = std::make_unique<SmallRun>(
      low_precision({"bf16.split_masters=true", "data_types.grad_accum_dtype=bf16"}));
  const MemoryReport less = report_of(*small);
  EXPECT_EQ(2 * bytes(less, "masters"), bytes(report, "masters"));
  EXPECT_LT(bytes(less, "gradients"), bytes(report, "gradients"));
  EXPECT_EQ(bytes(less, "activations"), bytes(report, "activations"));
}

TEST(Step, ParametersThatDoNotFitAreRefusedBeforeTheyAreAllocated) {
  try {
    SmallRun run({"train_micro_batch_size_per_gpu=8", "model.hidden=65536", "model.heads=512",
                  "model.layers=100"});
    FAIL() << "it was allocated";
  } catch (const OutOfMemory& e) {
    const std::string text = e.what();
    for (const char* part : {"before any activation", "optimizer", "bf16.enabled: true",
                             "train_micro_batch_size_per_gpu below 8"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
}

TEST(Step, LearnsAndNeedsItsExperts) {
  SmallRun run({"train_micro_batch_size_per_gpu=32"});
  run.steps(250);
  const Evaluator evaluator(run.session, run.config);
  const double trained = evaluator.run(run.runner->exec())->loss;
  EXPECT_LT(trained, 1.2);  // of ln 32 = 3.47 at first; ln 2 is the best there is

  // A router of zeros sends every token to expert 0: the lowest wins a tie.
  for (TableEntry& entry : run.table().entries()) {
    if (entry.name.find("router") == std::string::npos) continue;
    run.table().write(entry, std::vector<float>(run.table().read(entry).size()));
  }
  const auto starved = evaluator.run(run.runner->exec());
  EXPECT_DOUBLE_EQ(starved->numbers.layers[0].chosen[0], 1);
  EXPECT_GT(starved->loss, trained + 0.1);
}

}  // namespace
}  // namespace moiety
