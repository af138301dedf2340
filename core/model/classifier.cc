// How a classifier is put together, and what it says about itself.
#include "core/model/classifier.h"

#include <algorithm>

#include "core/base/check.h"

namespace moiety {

namespace {

std::string numbered(const char* name, size_t i) { return name + ("." + std::to_string(i)); }

Linear::Form form_of(int64_t in, int64_t out) {
  Linear::Form form;
  form.in = in, form.out = out;
  return form;
}

}  // namespace

Classifier::Classifier(const RunConfig& config, const MoeFactory& factory, DeviceContext& context,
                       ModelMemory memory)
    : config_(config.model), moe_config_(config.moe), memory_(context) {
  if (config_.image.size() != 3)
    throw ConfigError("model.image: expected [channels, height, width]");
  Convolution::Form form;
  form.channels = config_.image[0], form.height = config_.image[1], form.width = config_.image[2];
  for (size_t i = 0; i < config_.convolutions.size(); ++i) {
    form.out = config_.convolutions[i];
    if (form.out_height() < 1 || form.out_width() < 1) {
      throw ConfigError(fmt::format(
          "model.convolutions: {} x {} pixels are left before number {}, at least 6 x 6 needed",
          form.height, form.width, i));
    }
    convolutions_.emplace_back(table_, numbered("convolutions", i), form);
    form.height = convolutions_.back().form().out_height();
    form.width = convolutions_.back().form().out_width();
    form.channels = form.out;
  }
  widths_.push_back(form.height * form.width * form.channels);
  for (size_t i = 0; i < config_.dense.size(); ++i) {
    dense_.emplace_back(table_, numbered("dense", i), form_of(widths_.back(), config_.dense[i]),
                        -1);
    widths_.push_back(config_.dense[i]);
  }
  add_moe_layers(factory, widths_.back());
  output_ =
      std::make_unique<Linear>(table_, "output", form_of(widths_.back(), config_.vocab_size), -1);
  table_.freeze(config_.freeze);
  if (memory == ModelMemory::kNone) return;
  table_.allocate(context, table_form(config));
  table_.initialize(config.run.seed, config_.init_std, config_.layers,
                    moe_config_.identical_experts);
}

void Classifier::add_moe_layers(const MoeFactory& factory, int64_t width) {
  if (!moe_config_.enabled) {
    moe_config_.layers.clear();
    return;
  }
  if (moe_config_.balance_scope != BalanceScope::kMicroBatch) {
    throw ConfigError(
        "a classifier balances each MoE layer by itself: moe.balance_scope is to be "
        "micro_batch");
  }
  for (size_t i = 0; i < moe_config_.layers.size(); ++i) {
    ModelDims dims;
    dims.model = width;
    dims.layer = moe_config_.layers[i], dims.layers = config_.layers;
    dims.vocab = config_.vocab_size, dims.sequence = 1;
    MoeDesign design = design_moe_layer(factory, moe_config_, dims, moe_config_.num_experts.at(i),
                                        static_cast<int64_t>(i));
    moe_.push_back(std::make_unique<MoeLayer>(table_,
                                              "layers." + std::to_string(dims.layer) + ".moe",
                                              design.dims, std::move(design.parts)));
  }
}

std::vector<int64_t> Classifier::experts_of_layers() const {
  std::vector<int64_t> experts;
  for (const auto& layer : moe_) experts.push_back(layer->dims().experts);
  return experts;
}

int64_t Classifier::most_experts() const {
  const std::vector<int64_t> experts = experts_of_layers();
  return experts.empty() ? 0 : *std::max_element(experts.begin(), experts.end());
}

double Classifier::flops_per_token() const {
  double flops = 0;
  for (const Convolution& c : convolutions_) flops += c.flops();
  for (size_t i = 0; i < widths_.size(); ++i) {
    const int64_t out = i + 1 < widths_.size() ? widths_[i + 1] : config_.vocab_size;
    flops += 2.0 * static_cast<double>(widths_[i] * out);
  }
  for (const auto& layer : moe_) flops += layer->flops_per_token();
  return flops;
}

std::vector<double> Classifier::flops_per_choice() const {
  std::vector<double> flops;
  for (const auto& layer : moe_) flops.push_back(layer->flops_per_choice());
  return flops;
}

void Classifier::end_step(Exec& exec, const StepSums& sums) {
  for (size_t i = 0; i < moe_.size(); ++i) {
    const int64_t E = moe_[i]->dims().experts;
    const TensorView load = sums.chosen.slice(0, static_cast<int64_t>(i), 1).slice(1, 0, E);
    moe_[i]->end_step(exec, load.reshape({E}));
  }
}

void Classifier::logits(Exec&, ConstTensorView, TensorView) {
  throw Error("a classifier reads images and has no text to go on with; model.type is classifier");
}

}  // namespace moiety
