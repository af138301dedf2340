#include "core/config/check_components.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include <moiety/error.h>
#include <moiety/expert_type.h>
#include <moiety/gating_policy.h>
#include <moiety/objective.h>
#include <moiety/optimizer.h>
#include <moiety/teacher.h>

#include "core/config/requested_shape.h"
#include "core/plugin/gate.h"

namespace moiety::config {
namespace {

class ComponentChecks {
 public:
  ComponentChecks(PluginRegistry& plugins, Draft& draft) : plugins_(plugins), d_(draft) {
    const ModelConfig& model = d_.config.model;
    dims_.model = model.hidden;
    dims_.hidden = model.ffn_hidden;
    dims_.layers = model.layers;
    dims_.vocab = model.vocab_size;
    dims_.sequence = model.sequence_length;
  }

  void run() {
    const RunConfig& config = d_.config;
    at("optimizer", [&] { check_storage(*made<Optimizer>(config.optimizer, dims_)); });
    at("objective", [&] { find_end_of_document(*made<Objective>(config.objective, dims_)); });
    const MoeConfig& moe = config.moe;
    for (size_t i = 0; moe.enabled && i < moe.layers.size(); ++i) {
      if (!check_layer(static_cast<int64_t>(i))) return;  // the others say the same
    }
  }

 private:
  template <class T>
  std::shared_ptr<T> made(const ComponentChoice& choice, const ModelDims& dims) {
    return plugins_.probe<T>(choice.type, choice.options, dims);
  }

  void check_storage(const Optimizer& optimizer) {
    if (optimizer.facet("weight_storage") != nullptr) return;
    const auto refuse = [&](const std::string& path, const char* expected) {
      d_.report.add(d_.where({path}), path,
                    fmt::format("optimizer {} reads float32 masters and gradients alone; expected "
                                "{}",
                                d_.config.optimizer.type, expected));
    };
    if (d_.config.split_masters) refuse("bf16.split_masters", "false");
    if (d_.config.gradient_dtype != "fp32") refuse("data_types.grad_accum_dtype", "fp32");
  }

  /// The objective's token, which a model that tells documents apart needs.
  void find_end_of_document(const Objective& objective) {
    const auto* token = static_cast<const int64_t*>(objective.facet(kEndOfDocumentFacet));
    DocumentsConfig& documents = d_.config.model.documents;
    documents.end_token = token == nullptr ? -1 : *token;
    if (!documents.told_apart() || documents.end_token >= 0) return;
    const std::string path = documents.attend_within ? "model.documents.attend_within"
                                                     : "model.documents.restart_positions";
    d_.report.add(
        d_.where({path}), path,
        fmt::format("needs the token that ends a document, and objective {} {}",
                    d_.config.objective.type,
                    token == nullptr ? "knows of none; expected false"
                                     : "names none; set objective.params.end_of_document_token"));
  }

  bool check_layer(int64_t moe_layer) {
    const MoeConfig& moe = d_.config.moe;
    const int64_t layer = moe.layers[static_cast<size_t>(moe_layer)];
    const int64_t experts = moe.num_experts[static_cast<size_t>(moe_layer)];
    ModelDims dims = dims_;
    dims.layer = layer;
    dims.experts = dims.local_experts = experts;
    dims.hidden = moe.hidden;
    const bool good = at("moe.expert", [&] {
      const auto expert = made<ExpertType>(moe.expert, dims);
      const LayerShape shape = in_plugin(describe(expert), "layer_shape", layer, [&] {
        return expert->layer_shape(layer, dims.layers, requested_shape(moe, experts, moe_layer));
      });
      dims.experts = dims.local_experts = shape.experts;
      dims.hidden = shape.hidden;
    });
    return good && at("moe.gate", [&] {
             const auto gate = made<GatingPolicy>(moe.gate, dims);
             const int64_t tokens = d_.config.micro_batch_size * dims.sequence;
             PlanShape shape;
             in_plugin(describe(gate), "plan_shape", layer, [&] {
               shape = gate->plan_shape(tokens, dims.experts, /*training=*/true);
               gate->plan_shape(tokens, dims.experts, /*training=*/false);
             });
             check_load_loss(shape.layout);
           });
  }

  void check_load_loss(PlanLayout layout) {
    const std::string path = "moe.balance_losses.load";
    const MoeConfig& moe = d_.config.moe;
    if (layout != PlanLayout::kExpertMajor || moe.balance_losses.load <= 0 || !d_.ok({path}))
      return;
    if (std::exchange(load_refused_, true)) return;
    d_.report.add(d_.where({path}), path,
                  fmt::format("needs a gate whose tokens choose experts; those of moe.gate.type {} "
                              "choose tokens, equally many each; expected 0",
                              moe.gate.type));
  }

  /// False after an error, which is reported where the component stands in the file.
  template <class F>
  bool at(const std::string& path, F&& body) {
    const Mark mark = d_.where({path + ".params", path + ".type", path, "moe.k", "moe"});
    try {
      body();
      return true;
    } catch (const ConfigError& e) {
      d_.report.add(mark, path, e.what());
    } catch (const PluginError& e) {
      throw PluginError(mark.text() + ": " + path + ": " + e.what());
    }
    return false;
  }

  PluginRegistry& plugins_;
  Draft& d_;
  ModelDims dims_;
  bool load_refused_ = false;  // every layer says the same
};

}  // namespace

void check_components(PluginRegistry& plugins, Draft& draft) {
  ComponentChecks(plugins, draft).run();
}

}  // namespace moiety::config
