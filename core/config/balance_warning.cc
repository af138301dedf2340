#include "core/config/balance_warning.h"

#include <moiety/error.h>
#include <moiety/gating_policy.h>

#include "core/plugin/registry.h"

namespace moiety {

std::string unbalanced_warning(const RunConfig& config, PluginRegistry& plugins) {
  const MoeConfig& moe = config.moe;
  if (!moe.enabled || moe.num_experts.empty() || moe.router.forced != ForcedRouting::kNone ||
      balances(balance_losses_of(moe))) {
    return "";
  }
  ModelDims dims;
  dims.model = config.model.hidden;
  dims.experts = dims.local_experts = moe.num_experts[0];
  dims.layers = config.model.layers;
  dims.sequence = config.model.sequence_length;
  const auto gate = plugins.probe<GatingPolicy>(moe.gate.type, moe.gate.options, dims);
  if (gate->facet("balances_itself") != nullptr) return "";
  if (moe.loss_coeff == 0) {
    return "no loss balances the experts: moe.moe_loss_coeff, moe.balance_loss_coeff and all of "
           "moe.balance_losses are 0, and experts may starve; set moe.moe_loss_coeff=0.01, or "
           "watch "
           "`imbalance` in metrics.jsonl";
  }
  const int64_t tokens = config.micro_batch_size * config.model.sequence_length;
  if (gate->plan_shape(tokens, dims.experts, /*training=*/true).aux_losses > 0) return "";
  const bool steerable = find_option(moe.gate.options, "bias_update_speed") != nullptr;
  return "gating policy '" + moe.gate.type +
         "' has no loss of its own, so moe.moe_loss_coeff has nothing to weigh and no loss "
         "balances "
         "the experts, which may starve; set moe.balance_loss_coeff=0.01" +
         (steerable ? " or moe.gate.params.bias_update_speed=0.001" : "");
}

}  // namespace moiety
