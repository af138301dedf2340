// How wide experts and the shared expert are, and which parts of the moe section exclude others.
#include <string>
#include <utility>

#include "core/config/moe.h"
#include "core/config/scalar.h"

namespace moiety::config {
namespace {

std::string text(int64_t n) { return std::to_string(n); }

void split_experts(Draft& d) {
  const int64_t granularity = d.inputs.granularity;
  int64_t& hidden = d.config.moe.hidden;
  if (granularity == 1 || !d.ok({"moe.granularity", "moe.hidden", "model.ffn_hidden"})) return;
  if (hidden % granularity != 0) {
    d.report.add(d.where({"moe.granularity"}), "moe.granularity",
                 "an expert cannot be split evenly: moe.hidden " + text(hidden) + " % " +
                     text(granularity) + " = " + text(hidden % granularity));
    return;
  }
  hidden /= granularity;
  d.sources["moe.hidden"] =
      d.where({"moe.hidden", "model.ffn_hidden"}).text() + " (over moe.granularity)";
}

void size_shared_expert(Draft& d) {
  MoeConfig& moe = d.config.moe;
  const Mark mark = d.where({"moe.shared_expert.number", "moe.shared_expert.hidden"});
  if (d.is_given("moe.shared_expert.number") && d.is_given("moe.shared_expert.hidden")) {
    d.report.add(mark, "moe.shared_expert.number",
                 "set beside moe.shared_expert.hidden; expected one of the two");
    return;
  }
  if (d.inputs.shared_experts > 0) {
    moe.shared_hidden = d.inputs.shared_experts * moe.hidden;
    d.sources["moe.shared_expert.hidden"] =
        "moe.shared_expert.number " + text(d.inputs.shared_experts) + " times moe.hidden";
  }
  if (moe.shared_gate && moe.shared_hidden == 0) {
    d.report.add(d.where({"moe.shared_expert.gate"}), "moe.shared_expert.gate",
                 "there is no shared expert to gate; set moe.shared_expert.number or "
                 "moe.shared_expert.hidden");
  }
  if (moe.use_residual && moe.shared_hidden > 0) {
    d.report.add(d.where({"moe.use_residual"}), "moe.use_residual",
                 "set beside moe.shared_expert, at " + mark.text() +
                     "; a layer has one dense branch: mixed with the experts by a coefficient "
                     "(use_residual) or added to them (shared_expert)");
  }
}

void check_balance_losses(Draft& d) {
  const MoeConfig& moe = d.config.moe;
  const BalanceLosses& losses = moe.balance_losses;
  const std::pair<const char*, double> scopes[] = {{"micro_batch", losses.micro_batch},
                                                   {"sequence", losses.sequence},
                                                   {"global_batch", losses.global_batch},
                                                   {"model", losses.model}};
  const auto& [name, coefficient] = scopes[static_cast<size_t>(moe.balance_scope)];
  if (moe.balance_loss_coeff == 0 || coefficient == 0) return;
  const std::string path = std::string("moe.balance_losses.") + name;
  d.report.add(d.where({path}), path,
               float_text(coefficient) + " beside moe.balance_loss_coeff " +
                   float_text(moe.balance_loss_coeff) + " with moe.balance_scope " + name +
                   ", which is the same loss; expected one of the two");
}

}  // namespace

void resolve_expert_widths(Draft& d) {
  split_experts(d);
  size_shared_expert(d);
  check_balance_losses(d);
}

}  // namespace moiety::config
