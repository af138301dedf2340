// How a decoder is put together, and what it says about itself.
#include "core/model/gpt.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/model/classifier.h"
#include "core/model/layer_scope.h"
#include "core/plugin/registry.h"

namespace moiety {

Model::~Model() = default;
TeacherLogits::~TeacherLogits() = default;

std::unique_ptr<Model> make_model(const RunConfig& config, PluginRegistry& plugins,
                                  DeviceContext& context, ModelMemory memory) {
  if (config.model.type == "classifier") {
    return std::make_unique<Classifier>(config, plugin_factory(config.moe, plugins), context,
                                        memory);
  }
  return std::make_unique<Gpt>(config, plugin_factory(config.moe, plugins), context, memory);
}

DType compute_dtype(Precision precision) {
  switch (precision) {
    case Precision::kBF16: return DType::kBF16;
    case Precision::kF16: return DType::kF16;
    default: return DType::kF32;
  }
}

Fp8Parts fp8_parts(const RunConfig& config) {
  const Fp8Config& fp8 = config.fp8;
  return {fp8.enabled && fp8.dense, fp8.enabled && fp8.experts};
}

TableForm table_form(const RunConfig& config) {
  TableForm form;
  form.compute = compute_dtype(config.precision);
  const bool once = config.gradient_accumulation_steps == 1;
  if (config.gradient_dtype != "fp32" && once) form.gradient = form.compute;
  form.split_masters = config.split_masters;
  return form;
}

static const ModelConfig& checked(const ModelConfig& config) {
  const auto require = [](bool condition, const std::string& text) {
    if (!condition) throw ConfigError(text);
  };
  require(
      config.heads > 0 && (config.head_dim > 0 || config.hidden % config.heads == 0),
      fmt::format("model.hidden {} is no multiple of model.heads {}", config.hidden, config.heads));
  require(config.kv_heads > 0 && config.heads % config.kv_heads == 0,
          fmt::format("model.heads {} is no multiple of model.kv_heads {}", config.heads,
                      config.kv_heads));
  const int64_t turning =
      config.attention == "mla" ? config.mla.qk_rope_head_dim : config.head_width();
  require(config.positions != "rope" || turning % 2 == 0,
          fmt::format("model.positions rope needs an even head size, got {}", turning));
  require(!config.documents.told_apart() || config.documents.end_token >= 0,
          "model.documents needs the token that ends a document");
  return config;
}

Gpt::Gpt(const RunConfig& config, const MoeFactory& factory, DeviceContext& context,
         ModelMemory memory)
    : config_(checked(config.model)),
      moe_config_(config.moe),
      losses_(balance_losses_of(config.moe)),
      recompute_(recompute_policy(config.recompute)),
      memory_(context),
      again_(context),
      embedding_(table_, config_) {
  add_layers(factory);
  head_ = std::make_unique<Head>(table_, config_, embedding_.token());
  table_.freeze(config_.freeze);
  if (memory == ModelMemory::kNone) return;
  table_.allocate(context, table_form(config));
  table_.initialize(config.run.seed, config_.init_std, config_.layers,
                    moe_config_.identical_experts);
}

void Gpt::add_layers(const MoeFactory& factory) {
  const std::vector<int64_t>& numbers = moe_config_.layers;
  row_.assign(static_cast<size_t>(config_.layers), -1);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const auto found = std::find(numbers.begin(), numbers.end(), layer);
    if (!moe_config_.enabled || found == numbers.end()) {
      layers_.push_back(
          std::make_unique<DecoderLayer>(table_, config_, layer, ModelDims{}, nullptr));
      continue;
    }
    ModelDims dims;
    dims.model = config_.hidden;
    dims.layer = layer, dims.layers = config_.layers;
    dims.vocab = config_.vocab_size, dims.sequence = config_.sequence_length;
    const int64_t experts =
        moe_config_.num_experts.at(static_cast<size_t>(found - numbers.begin()));
    MoeDesign design = design_moe_layer(factory, moe_config_, dims, experts, moe_layers());
    row_[static_cast<size_t>(layer)] = moe_layers();
    moe_.push_back(layer);
    layers_.push_back(
        std::make_unique<DecoderLayer>(table_, config_, layer, design.dims, &design.parts));
  }
  check_balance_scope();
}

void Gpt::check_balance_scope() const {
  if (losses_.model == 0 || moe_.empty()) return;
  const std::vector<int64_t> experts = experts_of_layers();
  for (size_t i = 1; i < experts.size(); ++i) {
    if (experts[i] == experts[0]) continue;
    throw ConfigError(fmt::format(
        "the balancing loss of scope model takes the tokens of all layers together, so all need "
        "as many experts; layer {} has {}, layer {} has {}. Use scope micro_batch or global_batch",
        moe_[0], experts[0], moe_[i], experts[i]));
  }
}

bool Gpt::needs_counts() const {
  return !moe_.empty() && losses_.sequence + losses_.global_batch > 0;
}

bool Gpt::needs_load() const { return !moe_.empty() && losses_.global_batch > 0; }

std::vector<int64_t> Gpt::moe_layer_numbers() const { return moe_; }

std::vector<int64_t> Gpt::experts_of_layers() const {
  std::vector<int64_t> experts;
  for (const int64_t n : moe_) {
    experts.push_back(layers_[static_cast<size_t>(n)]->moe()->dims().experts);
  }
  return experts;
}

int64_t Gpt::most_experts() const {
  const std::vector<int64_t> experts = experts_of_layers();
  return experts.empty() ? 0 : *std::max_element(experts.begin(), experts.end());
}

double Gpt::flops_per_token() const {
  double flops = head_->flops_per_token();
  for (const auto& layer : layers_) flops += layer->flops_per_token(config_.sequence_length);
  return flops;
}

std::vector<double> Gpt::flops_per_choice() const {
  std::vector<double> flops;
  for (const int64_t n : moe_) {
    flops.push_back(layers_[static_cast<size_t>(n)]->moe()->flops_per_choice());
  }
  return flops;
}

void Gpt::end_step(Exec& exec, const StepSums& sums) {
  for (size_t i = 0; i < moe_.size(); ++i) {
    const MoeLayer& layer = *layers_[static_cast<size_t>(moe_[i])]->moe();
    const int64_t E = layer.dims().experts;
    const TensorView load = sums.chosen.slice(0, static_cast<int64_t>(i), 1).slice(1, 0, E);
    layer.end_step(exec, load.reshape({E}));
  }
}

}  // namespace moiety
