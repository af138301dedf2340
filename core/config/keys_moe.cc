// The section moe: the block that guides to DeepSpeed show, made real.
#include "core/config/keys.h"

namespace moiety::config {
namespace {

void declare_layout(Keys& keys) {
  auto moe = keys.section<MoeConfig>("moe", [](RunConfig& c) -> MoeConfig& { return c.moe; });
  moe.field("enabled", &MoeConfig::enabled, "replace feed-forward layers by MoE layers")
      .derived("true where num_experts is given",
               [](RunConfig& c) { c.moe.enabled = !c.moe.num_experts.empty(); });
  moe.field("num_experts", &MoeConfig::num_experts,
            "experts of every MoE layer, or a list with one count a MoE layer (a pyramid); a count "
            "of 1 in a list makes that layer dense")
      .range(1, 65536)
      .integers()
      .single()
      .default_text("none");
  moe.field("hidden", &MoeConfig::hidden, "width of an expert")
      .range(1, 1 << 24)
      .derived("model.ffn_hidden", [](RunConfig& c) { c.moe.hidden = c.model.ffn_hidden; });
  keys.inputs("moe")
      .field("expert_interval", &Inputs::expert_interval,
             "layer n, counted from 1, is an MoE layer where n is a multiple of it")
      .range(1, 10000)
      .input();
  moe.field("layers", &MoeConfig::layers,
            "the MoE layers by number, counted from 0 as in parameter names, instead of "
            "expert_interval")
      .range(0, 9999)
      .integers()
      .default_text("by expert_interval");
  moe.field("expert_parallel_size", &MoeConfig::expert_parallel_size,
            "ranks over which the experts of a layer are spread; at most the number of ranks")
      .range(1, 65536)
      .alias("ep_size");
  moe.field("use_residual", &MoeConfig::use_residual,
            "add a dense branch, mixed with the experts' output by a learned coefficient (PR-MoE)");
  moe.choice("expert_initialization", &MoeConfig::identical_experts,
             {{"independent", false}, {"identical", true}},
             "independent draws, or copies of one expert as DeepSpeed makes them");
  keys.inputs("moe")
      .field("granularity", &Inputs::granularity,
             "splits every expert (fine-grained experts): num_experts and k are multiplied by it, "
             "hidden is divided")
      .range(1, 1024)
      .input();
}

void declare_shared_expert(Keys& keys) {
  keys.inputs("moe.shared_expert")
      .field(
          "number", &Inputs::shared_experts,
          "shared experts: every token passes them beside the routed ones. They are one function "
          "of number times moe.hidden, which is the same")
      .range(0, 4096)
      .input();
  auto shared = keys.section<MoeConfig>("moe.shared_expert",
                                        [](RunConfig& c) -> MoeConfig& { return c.moe; });
  shared
      .field("hidden", &MoeConfig::shared_hidden,
             "width of the shared expert, instead of number; 0 = none")
      .range(0, 1 << 24);
  shared.field("gate", &MoeConfig::shared_gate,
               "multiply its output by a learned sigmoid of the token (Qwen2-MoE)");
}

void declare_losses(Keys& keys) {
  auto moe = keys.section<MoeConfig>("moe", [](RunConfig& c) -> MoeConfig& { return c.moe; });
  moe.field("moe_loss_coeff", &MoeConfig::loss_coeff,
            "weight of the gate's own losses (DeepSpeed's l_aux)")
      .range(0, 1e6);
  moe.field("balance_loss_coeff", &MoeConfig::balance_loss_coeff,
            "weight of the core's balancing loss of scope balance_scope; adds to balance_losses")
      .range(0, 1e6);
  moe.choice("balance_scope", &MoeConfig::balance_scope,
             {{"micro_batch", BalanceScope::kMicroBatch},
              {"sequence", BalanceScope::kSequence},
              {"global_batch", BalanceScope::kGlobalBatch},
              {"model", BalanceScope::kModel}},
             "tokens that balance_loss_coeff's loss averages over; see balance_losses");
  moe.field("z_loss_coeff", &MoeConfig::z_loss_coeff,
            "weight of the squared log-sum-exp of the router's logits")
      .range(0, 1e6);
  moe.field(
         "load_loss_noise", &MoeConfig::load_loss_noise,
         "deviation of the noise that balance_losses.load imagines on the router's logits; 0 = 1 "
         "/ num_experts")
      .range(0, 1000);
}

/// Several may be on at once, each with its own coefficient.
void declare_balance_losses(Keys& keys) {
  auto losses = keys.section<BalanceLosses>(
      "moe.balance_losses", [](RunConfig& c) -> BalanceLosses& { return c.moe.balance_losses; });
  const auto loss = [&](const char* name, double BalanceLosses::*member, const char* doc) {
    losses.field(name, member, doc).range(0, 1e6);
  };
  loss("micro_batch", &BalanceLosses::micro_batch,
       "weight of experts times the sum over experts of token share times mean probability "
       "(Switch, GShard), of a layer in a micro-batch: changes with the cut into micro-batches");
  loss("sequence", &BalanceLosses::sequence,
       "weight of DeepSeek-V3's loss of each sequence, averaged over the sequences of the train "
       "batch");
  loss("global_batch", &BalanceLosses::global_batch,
       "weight of the loss over the whole train batch of all ranks; with gradient accumulation "
       "costs a second forward of all micro-batches but the first");
  loss("model", &BalanceLosses::model,
       "weight of the loss over a micro-batch's tokens in all MoE layers together, as "
       "transformers has it");
  loss("importance", &BalanceLosses::importance,
       "weight of the squared coefficient of variation of the experts' summed routing weights "
       "(Shazeer et al., 2017)");
  loss("load", &BalanceLosses::load,
       "weight of the same of the experts' smoothed numbers of tokens (Shazeer et al., 2017)");
}

void declare_router(Keys& keys) {
  auto router = keys.section<RouterConfig>(
      "moe.router", [](RunConfig& c) -> RouterConfig& { return c.moe.router; });
  router.choice("dtype", &RouterConfig::f64, {{"fp32", false}, {"fp64", true}},
                "how the products of the router and of its gradients are summed; the logits are "
                "stored in fp32");
  router
      .field("input_jitter", &RouterConfig::input_jitter,
             "while training the router's input is multiplied by numbers within this much of 1; "
             "0 = the gate's own noise, if its definition has one")
      .range(0, 0.99);
  router.choice("force_routing", &RouterConfig::forced,
                {{"none", ForcedRouting::kNone},
                 {"balanced", ForcedRouting::kBalanced},
                 {"zipf", ForcedRouting::kZipf}},
                "for benchmarks: replaces the logits, so that all experts have the same load, or "
                "loads that follow Zipf's law; the router learns nothing");
  router
      .field("zipf_exponent", &RouterConfig::zipf_exponent,
             "how skewed zipf is: expert e, counted from 1, is the first choice in proportion to "
             "e to the power of minus this")
      .range(0, 16);
  router.field("record", &RouterConfig::record,
               "file to write the routing of every training step to, for replay and `moiety "
               "routing diff`; the step is not captured as a graph then");
  router.field("record_steps", &RouterConfig::record_steps, "steps that are recorded; 0 = all")
      .range(0, 1e15);
  router.field("replay", &RouterConfig::replay,
               "recording whose choices and weights take the place of the gate's");
}

void declare_gate_options(Keys& keys) {
  keys.inputs("moe")
      .field("k", &Inputs::k,
             "experts per token. Chooses the gate where moe.gate names none: 1 = top1, 2 = top2, "
             "more = topk; else fills its option k")
      .range(1, 4096)
      .input();
  keys.gate_option("moe.train_capacity_factor", "capacity_factor", OptionType::kFloat,
                   "room of an expert in training, in multiples of the even share",
                   "capacity_factor");
  keys.gate_option("moe.eval_capacity_factor", "eval_capacity_factor", OptionType::kFloat,
                   "the same in evaluation");
  keys.gate_option("moe.min_capacity", "min_capacity", OptionType::kInt,
                   "least room of an expert, in tokens");
  keys.gate_option("moe.drop_tokens", "drop_tokens", OptionType::kBool,
                   "tokens beyond an expert's room are dropped");
  keys.gate_option("moe.noisy_gate_policy", "noisy_gate_policy", OptionType::kString,
                   "noise in the choice of experts");
  keys.gate_option("moe.use_rts", "use_rts", OptionType::kBool,
                   "which tokens are dropped is drawn at random (random token selection)");
}

}  // namespace

void declare_moe_keys(Keys& keys) {
  declare_layout(keys);
  declare_shared_expert(keys);
  declare_losses(keys);
  declare_balance_losses(keys);
  declare_router(keys);
  declare_gate_options(keys);
  keys.component("moe.gate", ComponentKind::kGating, "", "the gating policy",
                 [](RunConfig& c) -> ComponentChoice& { return c.moe.gate; });
  keys.component("moe.expert", ComponentKind::kExpert, "ffn", "the expert type",
                 [](RunConfig& c) -> ComponentChoice& { return c.moe.expert; });
  keys.later("moe.use_tutel",
             "has no meaning here: Tutel replaces DeepSpeed's own kernels for dispatch, which this "
             "program does not use");
}

}  // namespace moiety::config
