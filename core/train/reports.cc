#include "core/train/reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/log.h"
#include "core/base/strings.h"
#include "core/train/corpus.h"
#include "core/train/param_groups.h"
#include "core/train/step_record.h"

namespace moiety {

namespace {

/// The first bytes say enough about a text, and counting stays cheap.
constexpr int64_t kEntropyBytes = int64_t{64} << 20;

std::string precision_text(const RunConfig& config) {
  if (config.precision == Precision::kF32) return "f32";
  const bool narrow = table_form(config).gradient != DType::kF32;
  const std::string masters =
      config.split_masters ? "f32 masters as values and their low bits" : "f32 masters";
  const std::string gradients = narrow ? ", matrices' gradients alike" : "";
  return config.precision == Precision::kBF16 ? "bf16, " + masters + gradients
                                              : "fp16, " + masters + ", loss scaling" + gradients;
}

}  // namespace

std::string start_report(const RunConfig& config, const Session& session,
                         const std::vector<PluginIdentity>& plugins) {
  int64_t experts = 0, frozen = 0;
  const ParameterTable& table = session.model->parameters();
  for (const TableEntry& entry : table.entries()) {
    int64_t size = 1;
    for (const int64_t n : entry.shape) size *= n;
    if (entry.buffer) continue;
    experts += entry.expert ? size : 0;
    frozen += entry.frozen ? size : 0;
  }
  const auto count = [](int64_t n) { return short_count(static_cast<double>(n)); };
  std::string text = fmt::format("device      {}\n", session.context->description());
  text += fmt::format("parameters  {}: {} dense, {} in experts, {} frozen\n", count(table.total()),
                      count(table.total() - experts), count(experts), count(frozen));
  text += param_groups_report(config.param_groups, table);
  text += fmt::format("precision   {}\n", precision_text(config));
  const TableMemory memory = table.memory();
  const auto bytes = [](size_t n) { return short_bytes(static_cast<double>(n)); };
  text += fmt::format(
      "memory      {}: weights {}, masters {}, gradients {}, optimizer {}; the rest is known after "
      "the first step\n",
      bytes(memory.total()), bytes(memory.weights), bytes(memory.masters), bytes(memory.gradients),
      bytes(memory.optimizer));
  const std::string samples =
      config.model.type == "classifier"
          ? fmt::format("{} images", config.train_batch_size)
          : fmt::format("{} sequences of {} tokens = {}", config.train_batch_size,
                        config.model.sequence_length, count(train_shape(config).tokens()));
  text += fmt::format("batch       {} in {} micro-batch(es)\n", samples,
                      config.gradient_accumulation_steps);
  text += fmt::format("data        {} train samples, {} for validation\n",
                      session.data->size(Split::kTrain), session.data->size(Split::kValidation));
  for (const PluginIdentity& p : plugins) {
    text += fmt::format("plugin      {} {} {} ({})\n", p.kind, p.name, p.version, p.file);
  }
  return text;
}

std::string evaluation_report(const Evaluation& e) {
  std::string text = fmt::format("validation loss {:.4f} nats", e.loss);
  text += e.images ? fmt::format(" an image ({} images)", e.rows)
                   : fmt::format(" a token (perplexity {:.2f}, {} rows)", std::exp(e.loss), e.rows);
  for (size_t i = 0; i < e.metrics.size() && i < e.numbers.metrics.size(); ++i) {
    text += fmt::format("; {} {:.4f}", e.metrics[i], e.numbers.metrics[i]);
  }
  if (e.numbers.layers.empty()) return text;
  double least = 1;
  for (const LayerLoad& layer : e.numbers.layers) {
    const double share = *std::min_element(layer.chosen.begin(), layer.chosen.end());
    least = std::min(least, share * static_cast<double>(layer.chosen.size()));
  }
  return text + fmt::format(
                    "; busiest expert {:.2f} and idlest {:.2f} of the mean load, {:.1f}% "
                    "dropped",
                    worst_imbalance(e.numbers), least, 100 * mean_drop_rate(e.numbers));
}

std::string entropy_report(const RunConfig& config, double loss) {
  const Value* files = find_option(config.data.options, "files");
  if (config.data.type != "text" || files == nullptr) return "";
  try {
    std::vector<std::filesystem::path> paths;
    for (const std::string& file : std::get<std::vector<std::string>>(*files)) {
      if (std::filesystem::is_regular_file(file)) paths.emplace_back(file);
    }
    if (paths.empty()) return "";
    const ByteEntropies e = byte_entropies(gather_text(paths, kEntropyBytes));
    return fmt::format(
        "the text's entropies in nats a byte: unigram {:.3f}, bigram {:.3f}, trigram "
        "{:.3f}; the model is {:.3f} {} its bigrams",
        e.unigram, e.bigram, e.trigram, std::abs(e.bigram - loss),
        loss < e.bigram ? "below" : "above");
  } catch (const std::exception& e) {
    log::warning(fmt::format("entropies of the text: {}", e.what()));
    return "";
  }
}

}  // namespace moiety
