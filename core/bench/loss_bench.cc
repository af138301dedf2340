#include "core/bench/loss_bench.h"

#include <fmt/format.h>

#include <algorithm>

#include <moiety/ops.h>

#include "core/bench/compare.h"
#include "core/model/head.h"

namespace moiety::bench {

namespace {

constexpr int kWarmUp = 5;
constexpr uint32_t kSets = 3;           // of inputs
constexpr int64_t kCheckedRows = 1024;  // are compared with f32
constexpr float kScale = 0.035f;        // of the weights: deviation 0.02
constexpr double kGiB = 1 << 30;

/// The core's loss of a language model, without a plugin's options.
class CrossEntropy final : public Objective {
 public:
  void evaluate(Exec& exec, const ObjectiveInputs& inputs, TensorView row_loss, TensorView grad,
                TensorView) const override {
    ops::cross_entropy(exec, inputs, row_loss, grad);
  }
};

struct Inputs {
  TensorView x, dx, targets;
};

class HeadRun {
 public:
  HeadRun(DeviceContext& context, DType compute, const LossSize& size)
      : ground_(context, compute),
        compute_(compute),
        size_(size),
        head_(table_, model(size), /*token, of tied ones=*/Parameter(nullptr)),
        denominator_(ground_.make(DType::kF32, {1})),
        loss_(ground_.make(DType::kF32, {1})) {
    table_.allocate(context, compute, /*gradients=*/true);
    table_.set_grad_mode(GradMode::kOverwrite);
    ground_.draw(table_.find("head.weight")->parameter.value, 100, kScale);
    ops::fill(ground_.exec(), table_.find("final_norm.weight")->parameter.value, 1);
  }

  Inputs inputs(int64_t rows, uint32_t seed) {
    std::vector<int32_t> targets(static_cast<size_t>(rows));
    uint64_t state = seed + 1;
    for (int32_t& target : targets) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      target = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(size_.vocab));
    }
    return {ground_.random(compute_, {rows, size_.hidden}, seed),
            ground_.make(compute_, {rows, size_.hidden}), ground_.put(targets)};
  }

  void run(const Inputs& in) {
    MicroBatch batch;
    batch.targets = in.targets, batch.denominator = denominator_;
    StepSums sums;
    sums.loss = loss_;
    ground_.call([&](Exec& exec) {
      ops::fill(exec, denominator_, static_cast<float>(in.x.dim(0)));
      ops::fill(exec, loss_, 0);
      head_.loss(exec, batch, objective_, in.x, sums, in.dx);
    });
  }

  Ground& ground() { return ground_; }
  ParameterTable& table() { return table_; }
  TensorView loss() const { return loss_; }

 private:
  static ModelConfig model(const LossSize& size) {
    ModelConfig config;
    config.hidden = size.hidden, config.vocab_size = size.vocab, config.tie_embeddings = false;
    config.bias = false;
    return config;
  }

  Ground ground_;
  DType compute_;
  LossSize size_;
  ParameterTable table_;
  Head head_;
  CrossEntropy objective_;
  TensorView denominator_, loss_;
};

Comparison compare(DeviceContext& context, HeadRun& head, const LossSize& size) {
  HeadRun reference(context, DType::kF32, size);
  const int64_t rows = std::min(size.rows, kCheckedRows);
  const Inputs in = head.inputs(rows, 1), plain = reference.inputs(rows, 1);
  ops::copy(reference.ground().exec(), in.x, plain.x);
  for (const TableEntry& entry : head.table().entries()) {
    ops::copy(reference.ground().exec(), entry.parameter.value,
              reference.table().find(entry.name)->parameter.value);
  }
  head.run(in);
  reference.run(plain);
  Comparison check;
  const auto add = [&](const std::string& name, const TensorView& got, const TensorView& expected) {
    check.add(name, head.ground(), got, reference.ground(), expected);
  };
  add("loss", head.loss(), reference.loss());
  add("dx", in.dx, plain.dx);
  for (const TableEntry& entry : head.table().entries()) {
    add(entry.name, entry.parameter.grad, reference.table().find(entry.name)->parameter.grad);
  }
  return check;
}

Row bench_size(DeviceContext& context, const LossSize& size, int iterations) {
  const bool cuda = context.device().type == DeviceType::kCuda;
  Row row;
  row.what = "loss";
  row.shape = fmt::format("{} N{} D{} V{}", size.name, size.rows, size.hidden, size.vocab);
  HeadRun head(context, cuda ? DType::kBF16 : DType::kF32, size);
  {
    const Comparison check = compare(context, head, size);
    row.detail = "against f32: " + check.text();
    row.right = check.right();
  }
  if (!row.right) return row;
  std::vector<Inputs> sets;
  for (uint32_t i = 0; i < kSets; ++i) sets.push_back(head.inputs(size.rows, 10 + i));
  const size_t held = context.bytes_in_use();
  context.reset_peak();
  row.times = time_calls(context, kWarmUp, iterations,
                         [&](int i) { head.run(sets[static_cast<size_t>(i) % kSets]); });
  row.tokens = static_cast<double>(size.rows);
  row.teraflops = 6e-12 * static_cast<double>(size.rows * size.hidden * size.vocab);
  row.peak_gib = static_cast<double>(context.peak_bytes() - held) / kGiB;
  return row;
}

}  // namespace

std::vector<LossSize> loss_sizes(DeviceType device) {
  if (device == DeviceType::kCpu) return {{"quickstart", 2048, 192, 256}};
  return {{"gpt-350m", 32768, 1024, 50304},
          {"mixtral-slice", 16384, 4096, 32000},
          {"llama3", 8192, 4096, 128256}};
}

std::vector<Row> bench_loss(DeviceContext& context, const std::vector<LossSize>& sizes,
                            int iterations) {
  std::vector<Row> rows;
  for (const LossSize& size : sizes) rows.push_back(bench_size(context, size, iterations));
  return rows;
}

}  // namespace moiety::bench
