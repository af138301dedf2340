#include "core/train/step_sums.h"

#include <algorithm>

namespace moiety {

namespace {

/// One pass over the members in their order in memory, for the device's views and the host's copy.
template <class F>
void lay_out(const SumsShape& s, const F& piece) {
  const int64_t grid = s.moe_layers * s.most_experts;
  piece(&StepSums::loss, 1);
  piece(&StepSums::metrics, s.metrics);
  piece(&StepSums::aux, s.moe_layers);
  piece(&StepSums::balance, s.moe_layers);
  piece(&StepSums::z, s.moe_layers);
  piece(&StepSums::entropy, s.moe_layers);
  piece(&StepSums::tokens, s.moe_layers);
  piece(&StepSums::chosen, grid);
  piece(&StepSums::dropped, grid);
  piece(&StepSums::probability, grid);
  piece(&StepSums::balance_sequence, s.moe_layers);
  piece(&StepSums::balance_global, s.moe_layers);
  piece(&StepSums::importance, s.moe_layers);
  piece(&StepSums::load, s.moe_layers);
  piece(&StepSums::balance_model, 1);
}

/// Every piece starts at a multiple of 64 elements: 256 bytes.
int64_t padded(int64_t elements) { return (std::max<int64_t>(elements, 1) + 63) / 64 * 64; }

bool is_grid(TensorView StepSums::*member) {
  return member == &StepSums::chosen || member == &StepSums::dropped ||
         member == &StepSums::probability;
}

void summarize(LayerLoad& layer, double tokens, double dead_share) {
  double choices = 0, most = 0;
  for (const double c : layer.chosen) choices += c;
  const auto experts = static_cast<double>(layer.chosen.size());
  for (size_t e = 0; e < layer.chosen.size(); ++e) {
    if (choices > 0) layer.chosen[e] /= choices, layer.dropped[e] /= choices;
    if (tokens > 0) layer.probability[e] /= tokens;
    most = std::max(most, layer.chosen[e]);
    layer.drop_rate += layer.dropped[e];
    if (layer.chosen[e] == 0 || layer.chosen[e] < dead_share / experts) ++layer.dead;
  }
  if (choices > 0) layer.imbalance = most * experts;
  if (tokens > 0) layer.entropy /= tokens;
}

}  // namespace

SumsShape sums_shape(const Model& model, const Objective& objective) {
  return {model.moe_layers(), model.most_experts(),
          static_cast<int64_t>(objective.metrics().size()), model.experts_of_layers()};
}

StepSumsBuffer::StepSumsBuffer(const DeviceContext& context, const SumsShape& shape) {
  int64_t elements = 0;
  lay_out(shape, [&](auto, int64_t count) { elements += padded(count); });
  buffer_ = Buffer(context.device(), static_cast<size_t>(elements) * sizeof(float));
  auto* at = static_cast<float*>(buffer_.data());
  lay_out(shape, [&](TensorView StepSums::*member, int64_t count) {
    TensorView view = view_of(at, DType::kF32, {count}, context.device());
    if (is_grid(member)) {
      view = view_of(at, DType::kF32, {shape.moe_layers, shape.most_experts}, context.device());
    }
    sums_.*member = view;
    at += padded(count);
  });
}

StepNumbers read_sums(const float* host, const SumsShape& shape, int64_t micro_batches,
                      double dead_share) {
  StepNumbers numbers;
  numbers.layers.resize(static_cast<size_t>(shape.moe_layers));
  std::vector<double> tokens(numbers.layers.size());
  const auto scale = 1.0 / static_cast<double>(micro_batches);
  lay_out(shape, [&](TensorView StepSums::*member, int64_t count) {
    if (member == &StepSums::loss) numbers.lm_loss = static_cast<double>(host[0]);
    if (member == &StepSums::balance_model) {
      numbers.balance_model = static_cast<double>(host[0]) * scale;
    }
    if (member == &StepSums::metrics) numbers.metrics.assign(host, host + count);
    for (size_t l = 0; l < numbers.layers.size(); ++l) {
      LayerLoad& layer = numbers.layers[l];
      const auto value = static_cast<double>(host[is_grid(member) ? 0 : l]);
      if (member == &StepSums::aux) layer.aux = value * scale;
      if (member == &StepSums::balance) layer.balance = value * scale;
      if (member == &StepSums::z) layer.z = value * scale;
      if (member == &StepSums::balance_sequence) layer.balance_sequence = value;
      if (member == &StepSums::balance_global) layer.balance_global = value;
      if (member == &StepSums::importance) layer.importance = value * scale;
      if (member == &StepSums::load) layer.load = value * scale;
      if (member == &StepSums::entropy) layer.entropy = value;
      if (member == &StepSums::tokens) tokens[l] = value;
      if (!is_grid(member)) continue;
      const float* row = host + static_cast<int64_t>(l) * shape.most_experts;
      const std::vector<double> values(row, row + shape.experts[l]);
      if (member == &StepSums::chosen) layer.chosen = values;
      if (member == &StepSums::dropped) layer.dropped = values;
      if (member == &StepSums::probability) layer.probability = values;
    }
    host += padded(count);
  });
  for (size_t l = 0; l < numbers.layers.size(); ++l) {
    summarize(numbers.layers[l], tokens[l], dead_share);
  }
  return numbers;
}

double total_loss(const StepNumbers& numbers, const MoeConfig& moe) {
  const BalanceLosses c = balance_losses_of(moe);
  double loss = numbers.lm_loss + c.model * numbers.balance_model;
  for (const LayerLoad& layer : numbers.layers) {
    loss += moe.loss_coeff * layer.aux + moe.z_loss_coeff * layer.z +
            c.micro_batch * layer.balance + c.sequence * layer.balance_sequence +
            c.global_batch * layer.balance_global + c.importance * layer.importance +
            c.load * layer.load;
  }
  return loss;
}

}  // namespace moiety
