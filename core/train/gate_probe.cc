#include "core/train/gate_probe.h"

#include <fmt/format.h>

#include <moiety/error.h>
#include <moiety/gating_policy.h>

#include "core/train/balance_watch.h"

namespace moiety {

std::string no_gate_loss_warning(const RunConfig& config, PluginRegistry& plugins) {
  MoeConfig moe = config.moe;
  if (!moe.enabled || moe.loss_coeff == 0 || moe.router.forced != ForcedRouting::kNone) return "";
  moe.loss_coeff = 0;
  if (balancers_off_warning(moe, /*gate_steers=*/false).empty()) return "";  // another one is on
  ModelDims dims;
  dims.model = config.model.hidden;
  dims.experts = dims.local_experts = moe.num_experts.at(0);
  dims.layers = config.model.layers;
  const auto gate = plugins.create<GatingPolicy>(moe.gate.type, moe.gate.options, dims);
  if (gate->facet("balances_itself") != nullptr) return "";
  const int64_t tokens = config.micro_batch_size * config.model.sequence_length;
  try {
    if (gate->plan_shape(tokens, dims.experts, /*training=*/true).aux_losses > 0) return "";
  } catch (const Error&) {
    return "";  // the first step says what is wrong
  }
  return fmt::format(
      "gating policy '{}' has no loss of its own, so moe.moe_loss_coeff has nothing to weigh and "
      "no balancer is on: experts may starve; set moe.balance_loss_coeff=0.01{}",
      moe.gate.type,
      find_option(moe.gate.options, "bias_update_speed") != nullptr
          ? " or moe.gate.params.bias_update_speed=0.001"
          : "");
}

}  // namespace moiety
