// tiny_*: a whole model from its reference's files, through the trainer's step.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <sstream>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/checkpoint/hf_import.h"
#include "core/config/load.h"
#include "core/model/model.h"
#include "core/testing/parity_suite.h"
#include "core/train/step_runner.h"

namespace moiety::testing {

namespace {

/// The one batch of the reference: a token's target is the next token, the last one has none.
class RecordedBatch final : public DataSource {
 public:
  RecordedBatch(std::vector<int64_t> ids, int64_t sequences, int64_t vocab)
      : ids_(std::move(ids)), sequences_(sequences), vocab_(vocab) {}
  int64_t length() const { return static_cast<int64_t>(ids_.size()) / sequences_; }
  int64_t size(Split) const override { return sequences_; }
  std::vector<Field> fields() const override {
    return {{"tokens", DType::kI32, {length()}, vocab_},
            {"targets", DType::kI32, {length()}, vocab_}};
  }
  void fill(Split, int64_t sample, std::span<const TensorView> rows) const override {
    auto* tokens = rows[0].data<int32_t>();
    auto* targets = rows[1].data<int32_t>();
    for (int64_t i = 0; i < length(); ++i) {
      tokens[i] = token(sample * length() + i);
      targets[i] = i + 1 < length() ? token(sample * length() + i + 1) : -1;
    }
  }

 private:
  int32_t token(int64_t i) const { return static_cast<int32_t>(ids_[static_cast<size_t>(i)]); }
  std::vector<int64_t> ids_;
  int64_t sequences_, vocab_;
};

/// "lr=1e-3 betas=0.9,0.95 eps=1e-8 wd=0", as the optimizer section of a configuration.
std::string optimizer_yaml(const std::string& text) {
  std::string out = "optimizer:\n  type: adamw\n  params:\n";
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t cut = word.find('=');
    MOIETY_CHECK(cut != std::string::npos, "attribute adamw: '{}' is no setting", word);
    std::string key = word.substr(0, cut), value = word.substr(cut + 1);
    if (key == "wd") key = "weight_decay";
    if (value.find(',') != std::string::npos) value = "[" + value + "]";
    out += "    " + key + ": " + value + "\n";
  }
  return out;
}

/// The reference's gradients under the names of its weights: transformers fuses the experts.
class ReferenceGradients {
 public:
  explicit ReferenceGradients(const h5::File& file) : file_(file) {}

  std::vector<float> operator()(const HfTensor& wanted) {
    std::string name = wanted.name;
    const std::string mixtral = ".block_sparse_moe.";
    if (const size_t at = name.find(mixtral); at != std::string::npos) {
      name.replace(at, mixtral.size(), ".mlp.");
    }
    const std::string experts = ".mlp.experts.";
    const size_t at = name.find(experts);
    if (at == std::string::npos) return read(name);
    const std::string prefix = name.substr(0, at + experts.size());
    const std::string rest = name.substr(prefix.size());  // N.w1.weight, N.gate_proj.weight
    const size_t dot = rest.find('.');
    const int64_t expert = std::stoll(rest.substr(0, dot));
    const std::string part = rest.substr(dot + 1, rest.rfind('.') - dot - 1);
    const int64_t size = wanted.shape[0] * wanted.shape[1];
    if (part == "w2" || part == "down_proj") {
      return slice(read(prefix + "down_proj"), expert * size, size);
    }
    const int64_t half = part == "w3" || part == "up_proj" ? 1 : 0;  // gate first
    return slice(read(prefix + "gate_up_proj"), (2 * expert + half) * size, size);
  }
  /// Gradients that nothing asked for.
  std::vector<std::string> unused() const {
    std::vector<std::string> names;
    for (const std::string& name : file_.datasets("grads")) {
      if (used_.count(name) == 0) names.push_back(name);
    }
    return names;
  }

 private:
  std::vector<float> read(const std::string& name) {
    used_.insert("grads/" + name);
    return file_.floats("grads/" + name);
  }
  static std::vector<float> slice(const std::vector<float>& all, int64_t begin, int64_t size) {
    MOIETY_CHECK(begin + size <= static_cast<int64_t>(all.size()), "a fused gradient is too short");
    return {all.begin() + begin, all.begin() + begin + size};
  }
  const h5::File& file_;
  std::set<std::string> used_;
};

class ModelCase {
 public:
  ModelCase(Parity& parity, const std::string& folder)
      : parity_(parity),
        folder_(parity.golden / folder),
        expected_(folder_ / "expected.h5", h5::File::Mode::kRead),
        hf_(Json::parse(read_file(folder_ / "config.json"))),
        shape_(expected_.info("input_ids").shape),
        config_(make_config()),
        batch_(expected_.integers("input_ids"), shape_.at(0), config_.model.vocab_size),
        layout_({1, shape_.at(0), shape_.at(1)}, batch_, config_.model.vocab_size),
        model_(make_model(config_, parity.plugins, parity.context)) {
    ParameterTable& table = model_->parameters();
    std::set<std::string> set;
    for (const NamedTensor& tensor : import_hf(folder_).tensors) {
      TableEntry* entry = table.find(tensor.name);
      MOIETY_CHECK(entry != nullptr && entry->shape == tensor.shape,
                   "{} of the import does not fit the model", tensor.name);
      table.write(*entry, tensor.values);
      set.insert(tensor.name);
    }
    for (const TableEntry& entry : table.entries()) {
      MOIETY_CHECK(set.count(entry.name) != 0, "the import has no {}", entry.name);
    }
  }

  void run() {
    compare_logits();
    const auto objective = parity_.plugins.create<Objective>(
        config_.objective.type, config_.objective.options, ModelDims{});
    const auto optimizer = parity_.plugins.create<Optimizer>(
        config_.optimizer.type, config_.optimizer.options, ModelDims{});
    StepRunner runner({&parity_.context, model_.get(), objective.get(), optimizer.get(), &layout_},
                      config_);
    upload_batch(runner.batch());
    const std::vector<double> losses = expected_.numbers("adamw_losses");
    double worst = 0;
    const std::vector<float> first = embedding();
    for (size_t i = 0; i < losses.size(); ++i) {
      runner.run(/*graph=*/false);
      hold_padding(first);
      const StepNumbers numbers = read(runner);
      const double error = std::abs(total_loss(numbers, config_.moe) - losses[i]);
      worst = error <= worst ? worst : error;
      if (i == 0) compare_first_step(numbers);
    }
    parity_.report.add(fmt::format("losses of {} steps", losses.size()), worst, 1e-3);
  }

 private:
  RunConfig make_config() {
    const std::string yaml = hf_config_yaml(folder_) + optimizer_yaml(expected_.text("", "adamw")) +
                             fmt::format(
                                 "train_batch_size: {0}\ntrain_micro_batch_size_per_gpu: {0}\n"
                                 "gradient_clipping: 0\nrun:\n  steps: 1\n  deterministic: true\n"
                                 "data:\n  type: synthetic\n",
                                 shape_.at(0));
    LoadOptions options;
    options.overrides = {"model.sequence_length=" + std::to_string(positions())};
    // transformers leaves the correction bias where it is.
    if (hf_.find("topk_group") != nullptr) {
      options.overrides.emplace_back("moe.gate.params.bias_update_speed=0");
    }
    return parse_config(yaml, folder_.filename().string() + ".yaml", options, parity_.plugins);
  }
  /// Learned positions keep their number; otherwise the length of the recorded batch.
  int64_t positions() const {
    const Json* n = hf_.find("n_positions");
    return n != nullptr ? n->integer() : shape_.at(1);
  }

  /// PyTorch's embeddings have a padding_idx whose row gets no gradient from the look-up; here
  /// every token has one. The reference's batch holds such tokens, so their row is put back.
  int64_t padding() const {
    const Json* id = hf_.find("pad_token_id");
    return id == nullptr || id->is_null() ? -1 : id->integer();
  }
  std::vector<float> embedding() {
    return model_->parameters().read(*model_->parameters().find("embedding.token"));
  }
  void copy_padding(const std::vector<float>& from, std::vector<float>& to) const {
    const auto width = static_cast<std::ptrdiff_t>(config_.model.hidden);
    const auto row = from.begin() + padding() * width;
    std::copy(row, row + width, to.begin() + padding() * width);
  }
  void hold_padding(const std::vector<float>& first) {
    if (padding() < 0) return;
    std::vector<float> values = embedding();
    copy_padding(first, values);
    model_->parameters().write(*model_->parameters().find("embedding.token"), values);
  }

  void upload_batch(void* to) {
    std::vector<uint8_t> host(layout_.bytes());
    for (int64_t i = 0; i < shape_.at(0); ++i) {
      batch_.fill(Split::kTrain, i, layout_.rows_of(host.data(), i));
    }
    layout_.denominators(host.data())[0] = static_cast<float>(layout_.weight(host.data(), 0));
    parity_.context.copy(to, host.data(), host.size());
    parity_.context.synchronize();
  }

  void compare_logits() {
    ParityBench bench(parity_.context);
    const int64_t rows = shape_.at(0) * shape_.at(1), vocab = config_.model.vocab_size;
    Buffer device(parity_.context.device(), layout_.bytes());
    upload_batch(device.data());
    const MicroBatch batch = layout_.view(device.data(), 0, parity_.context.device());
    const TensorView logits = bench.zeros({rows, vocab});
    model_->logits(bench.exec(), batch.tokens, logits);
    parity_.report.add("logits", norm_error(bench.floats(logits), expected_.floats("logits")),
                       1e-4);
  }

  StepNumbers read(const StepRunner& runner) {
    std::vector<float> host(runner.sums().bytes() / sizeof(float));
    parity_.context.copy(host.data(), runner.sums().data(), runner.sums().bytes());
    parity_.context.synchronize();
    return read_sums(host.data(), runner.shape(), 1, 0);
  }

  void compare_first_step(const StepNumbers& numbers) {
    const double loss = expected_.numbers("loss").at(0);
    parity_.report.add("loss", number_error(total_loss(numbers, config_.moe), loss), 1e-5);
    if (expected_.exists("aux_loss")) {
      const double aux = expected_.numbers("aux_loss").at(0);
      parity_.report.add("aux_loss", number_error(numbers.balance_model, aux), 1e-5);
    }
    compare_gradients();
  }

  void compare_gradients() {
    ReferenceGradients reference(expected_);
    ParameterTable& table = model_->parameters();
    size_t compared = 0;
    for (const NamedTensor& tensor : map_hf(
             hf_, [&](const HfTensor& wanted) { return reference(wanted); },
             /*buffers=*/false)) {
      const TableEntry* entry = table.find(tensor.name);
      MOIETY_CHECK(entry != nullptr, "the model has no {}", tensor.name);
      std::vector<float> gradient = table.read(entry->parameter.grad);
      if (padding() >= 0 && tensor.name == "embedding.token") {
        copy_padding(std::vector<float>(gradient.size()), gradient);
      }
      parity_.report.add("d " + tensor.name, norm_error(gradient, tensor.values), 1e-4);
      ++compared;
    }
    for (const std::string& name : reference.unused()) {
      parity_.report.fail(name, "a gradient that was compared with nothing");
    }
    for (const TableEntry& entry : table.entries()) compared -= entry.buffer ? 0 : 1;
    if (compared != 0) parity_.report.fail("gradients", "the model has others than the reference");
  }

  Parity& parity_;
  std::filesystem::path folder_;
  h5::File expected_;
  Json hf_;
  std::vector<int64_t> shape_;  // B, S
  RunConfig config_;
  RecordedBatch batch_;
  BatchLayout layout_;
  std::unique_ptr<Model> model_;
};

}  // namespace

void compare_model(Parity& parity, const std::string& folder) {
  compare_case(parity, folder, "model", [&] { ModelCase(parity, folder).run(); });
}

}  // namespace moiety::testing
