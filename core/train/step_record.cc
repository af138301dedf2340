#include "core/train/step_record.h"

#include <algorithm>
#include <utility>

namespace moiety {

namespace {

Json list_of(const std::vector<double>& values) {
  Json::Array list(values.begin(), values.end());
  return list;
}

/// One value of every MoE layer.
template <class F>
Json by_layer(const StepNumbers& numbers, const F& value) {
  Json::Array list;
  for (const LayerLoad& layer : numbers.layers) list.push_back(value(layer));
  return list;
}

/// Losses that are on; one that is off is 0 in every layer and left out.
void add_losses(const StepNumbers& numbers, Json& row) {
  const std::pair<const char*, double LayerLoad::*> losses[] = {
      {"balance_sequence", &LayerLoad::balance_sequence},
      {"balance_global_batch", &LayerLoad::balance_global},
      {"importance", &LayerLoad::importance},
      {"load_loss", &LayerLoad::load}};
  for (const auto& loss : losses) {
    const auto value = [member = loss.second](const LayerLoad& l) { return l.*member; };
    const bool on = std::any_of(numbers.layers.begin(), numbers.layers.end(),
                                [&](const LayerLoad& l) { return value(l) != 0; });
    if (on)
      row.set(loss.first, by_layer(numbers, [&](const LayerLoad& l) { return Json(value(l)); }));
  }
  if (numbers.balance_model != 0) row.set("balance_model", numbers.balance_model);
}

}  // namespace

Json to_json(const StepRecord& r, const std::vector<std::string>& metric_names,
             const std::vector<int64_t>& layer_numbers) {
  Json row = Json::Object{{"step", r.step},
                          {"batch", r.batch},
                          {"tokens", r.tokens},
                          {"loss", r.loss},
                          {"lm_loss", r.numbers.lm_loss},
                          {"lr", r.lr},
                          {"grad_norm", r.grad_norm},
                          {"loss_scale", r.loss_scale},
                          {"skipped", r.skipped},
                          {"skipped_total", r.skipped_total},
                          {"seconds", r.seconds},
                          {"tokens_per_second", r.tokens_per_second}};
  for (size_t i = 0; i < metric_names.size() && i < r.numbers.metrics.size(); ++i) {
    row.set("objective." + metric_names[i], r.numbers.metrics[i]);
  }
  if (r.numbers.layers.empty()) return row;
  row.set("moe_layers", Json::Array(layer_numbers.begin(), layer_numbers.end()));
  row.set("aux", by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.aux); }));
  row.set("z", by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.z); }));
  row.set("balance", by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.balance); }));
  add_losses(r.numbers, row);
  row.set("router_entropy",
          by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.entropy); }));
  row.set("load", by_layer(r.numbers, [](const LayerLoad& l) { return list_of(l.chosen); }));
  row.set("dropped", by_layer(r.numbers, [](const LayerLoad& l) { return list_of(l.dropped); }));
  row.set("probability",
          by_layer(r.numbers, [](const LayerLoad& l) { return list_of(l.probability); }));
  row.set("drop_rate", by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.drop_rate); }));
  row.set("imbalance", by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.imbalance); }));
  row.set("dead_experts", by_layer(r.numbers, [](const LayerLoad& l) { return Json(l.dead); }));
  return row;
}

double worst_imbalance(const StepNumbers& numbers) {
  double worst = 1;
  for (const LayerLoad& layer : numbers.layers) worst = std::max(worst, layer.imbalance);
  return worst;
}

double mean_drop_rate(const StepNumbers& numbers) {
  double sum = 0;
  for (const LayerLoad& layer : numbers.layers) sum += layer.drop_rate;
  return numbers.layers.empty() ? 0 : sum / static_cast<double>(numbers.layers.size());
}

int64_t dead_experts(const StepNumbers& numbers) {
  int64_t dead = 0;
  for (const LayerLoad& layer : numbers.layers) dead += layer.dead;
  return dead;
}

}  // namespace moiety
