// Mixture of Experts. Megatron-DeepSpeed's flags and defaults: megatron/arguments.py.
#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "core/config/import/flags.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne, kMany = Arity::kMany;

/// "64 64 128", and what guides quote: "[64, 64, 128]".
std::vector<int64_t> numbers(const std::vector<std::string>& words, bool& good) {
  std::vector<int64_t> out;
  good = true;
  for (const std::string& word : words) {
    for (size_t i = 0; i < word.size();) {
      if (std::string("[], ").find(word[i]) != std::string::npos) {
        ++i;
        continue;
      }
      int64_t x = 0;
      const auto read = std::from_chars(word.data() + i, word.data() + word.size(), x);
      if (read.ec != std::errc()) return good = false, out;
      out.push_back(x);
      i = static_cast<size_t>(read.ptr - word.data());
    }
  }
  good = !out.empty();
  return out;
}

void note_list(const FlagContext& c, const GivenFlag& flag, const std::vector<int64_t>& counts) {
  const bool quoted = std::any_of(
      flag.values.begin(), flag.values.end(),
      [](const std::string& word) { return word.find_first_of("[],") != std::string::npos; });
  if (quoted) {
    c.out.note("moe.num_experts",
               "Megatron-DeepSpeed takes numbers with blanks between (--num-experts 64 64 128); a "
               "quoted list is an error there.");
  }
  if (std::is_sorted(counts.begin(), counts.end())) return;
  c.out.note("moe.num_experts",
             "The pyramid falls towards the output. PR-MoE's rises: its last layers have twice "
             "the experts (64 in ten layers, 128 in two), because they gain more from them.");
}

void experts(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--num-experts");
  if (flag == nullptr) return;
  bool good = false;
  const std::vector<int64_t> counts = numbers(flag->values, good);
  if (!good) return c.out.refuse(flag->text(), "expected whole numbers");
  if (*std::max_element(counts.begin(), counts.end()) <= 1) {
    return c.out.drop(flag->text(), "a count of 1 is a dense model");
  }
  std::string text = counts.size() == 1 ? std::to_string(counts[0]) : "[";
  for (size_t i = 0; counts.size() > 1 && i < counts.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(counts[i]);
  }
  c.out.set("moe.num_experts", text + (counts.size() > 1 ? "]" : ""), flag->text());
  note_list(c, *flag, counts);
}

void mlp_type(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--mlp-type");
  if (flag == nullptr || c.out.find("moe.num_experts") == nullptr) return;
  const std::string kind = c.given.value("--mlp-type");
  if (kind == "standard") return c.out.drop(flag->text(), "the default");
  if (kind != "residual") return c.out.refuse(flag->text(), "expected standard or residual");
  c.out.set("moe.use_residual", "true", flag->text(),
            "A dense MLP beside the experts, mixed by a learned softmax of two; not a connection "
            "between expert layers.");
}

void expert_parallel(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--moe-expert-parallel-size");
  if (flag == nullptr) return;
  const int64_t size = c.given.integer("--moe-expert-parallel-size", 0);
  if (size < 1) return c.out.refuse(flag->text(), "expected a whole number of at least 1");
  const bool fits = size <= c.world_size && c.world_size % size == 0;
  c.out.set("moe.expert_parallel_size", fits ? std::to_string(size) : "1", flag->text(),
            fits ? "It has to divide both the ranks and every number of experts."
                 : std::to_string(size) + " in the source, which " + std::to_string(c.world_size) +
                       (c.world_size == 1 ? " rank" : " ranks") +
                       " cannot be divided into: all experts are on every rank. --world-size N "
                       "says how many ranks there are; the size has to divide them and every "
                       "number of experts.");
}

constexpr const char* kCore =
    "a flag of Megatron-Core's own MoE layers; read here are Megatron-DeepSpeed's. Look at "
    "moe.gate and moe.expert in docs/config.md";

const Flag kFlags[] = {
    part("--num-experts", kMany, experts),
    part("--mlp-type", kOne, mlp_type),
    part("--topk", kOne, set_moe_layer),
    part("--expert-interval", kOne, set_moe_layer),
    part("--moe-loss-coeff", kOne, set_moe_layer),
    part("--moe-train-capacity-factor", kOne, set_moe_layer),
    part("--moe-eval-capacity-factor", kOne, set_moe_layer),
    part("--moe-min-capacity", kOne, set_moe_layer),
    part("--disable-moe-token-dropping", kNone, set_moe_layer),
    part("--disable-moe-top2-2nd-expert-sampling", kNone, set_moe_layer),
    part("--moe-expert-parallel-size", kOne, expert_parallel),
    nothing("--create-moe-param-group", kNone, "experts have their own tensors always"),
    nothing("--use-tutel", kNone, "another implementation of the same dispatch"),
    nothing("--enable-expert-tensor-parallelism", kNone, "there is no tensor parallelism"),
    refused("--num-experts-switch", kOne,
            "NVIDIA's serial SwitchMLP; --num-experts is DeepSpeed's MoE layer"),
    refused("--inference", kNone, "builds no optimizer; here: moiety generate"),
    // Not flags of Megatron-DeepSpeed, though guides show them.
    refused("--moe-capacity-factor", kOne,
            "there is none; --moe-train-capacity-factor and --moe-eval-capacity-factor"),
    refused("--noisy-gate-policy", kOne,
            "Megatron-DeepSpeed does not expose it; here moe.noisy_gate_policy"),
    maps("--moe-z-loss-coeff", "moe.z_loss_coeff",
         "Weight of the squared log-sum-exp of the router's logits, which keeps them small; it "
         "does not act on the entropy."),
    maps("--moe-ffn-hidden-size", "moe.hidden"),
    refused("--moe-router-topk", kOne, kCore),
    refused("--moe-router-load-balancing-type", kMany, kCore),
    refused("--moe-router-score-function", kOne, kCore),
    refused("--moe-router-pre-softmax", kNone, kCore),
    refused("--moe-router-num-groups", kOne, kCore),
    refused("--moe-router-group-topk", kOne, kCore),
    refused("--moe-router-topk-scaling-factor", kOne, kCore),
    refused("--moe-router-enable-expert-bias", kNone, kCore),
    refused("--moe-router-bias-update-rate", kOne, kCore),
    refused("--moe-aux-loss-coeff", kMany, kCore),
    refused("--moe-layer-freq", kOne, kCore),
    refused("--moe-shared-expert-intermediate-size", kOne, kCore),
    refused("--moe-expert-capacity-factor", kOne, kCore),
    refused("--moe-pad-expert-input-to-capacity", kNone, kCore),
    refused("--moe-token-drop-policy", kOne, kCore),
    refused("--moe-input-jitter-eps", kOne, kCore),
    nothing("--moe-grouped-gemm", kNone, "always"),
    nothing("--moe-permute-fusion", kNone, "always"),
    nothing("--moe-token-dispatcher-type", kOne, "there is one dispatch"),
    nothing("--expert-model-parallel-size", kOne, "see moe.expert_parallel_size"),
};

}  // namespace

/// Megatron's defaults, said where guides say something else.
void set_moe_layer(const FlagContext& c) {
  if (c.out.find("moe.num_experts") == nullptr) {
    for (const Flag& flag : kFlags) {
      const GivenFlag* given = c.given.find(flag.name);
      const bool mine = flag.rule == set_moe_layer || flag.rule == mlp_type;
      if (given != nullptr && mine) c.out.drop(given->text(), "the model has no MoE layer");
    }
    return;
  }
  const auto set = [&](const char* flag, const char* key, const char* fallback, const char* note) {
    const GivenFlag* given = c.given.find(flag);
    c.out.set(key, given != nullptr ? c.given.value(flag) : fallback,
              given != nullptr ? given->text() : "Megatron's default", note);
  };
  set("--topk", "moe.k", "1",
      c.given.has("--topk") ? "" : "Megatron routes to one expert unless --topk says otherwise.");
  set("--expert-interval", "moe.expert_interval", "2",
      c.given.has("--expert-interval") ? "" : "Every other layer; 1 for every layer.");
  set("--moe-loss-coeff", "moe.moe_loss_coeff", "0.1",
      "Weight of the sum over layers. Megatron's default is 0.1; its documentation and most guides "
      "use 0.01.");
  const bool drops = !c.given.has("--disable-moe-token-dropping");
  set("--moe-train-capacity-factor", "moe.train_capacity_factor", "1.0",
      "Megatron's default is 1.0, not the guides' 1.25. A smaller factor drops more tokens; only "
      "the balancing loss moves them to other experts.");
  set("--moe-eval-capacity-factor", "moe.eval_capacity_factor", "1.0",
      "Megatron's default is 1.0, not the guides' 2.0. No factor keeps every token: "
      "--disable-moe-token-dropping does, in training too.");
  set("--moe-min-capacity", "moe.min_capacity", "4", "");
  if (!drops)
    c.out.set("moe.drop_tokens", "false", "--disable-moe-token-dropping",
              "In training as in evaluation.");
  const int64_t k = c.given.integer("--topk", 1);
  if (k == 1) {
    c.out.set("moe.use_rts", "true", "Megatron-DeepSpeed: always",
              "A full expert keeps random tokens, in evaluation too.");
  } else if (k == 2 && drops) {
    c.out.note("moe.k",
               "Top-2 drops by token order, second choices first. Megatron's order is position by "
               "position over all sequences, this program's sequence by sequence: other tokens are "
               "dropped.");
  }
  const std::string second = "--disable-moe-top2-2nd-expert-sampling";
  if (!c.given.has(second)) {
    if (k != 2) return;
    return c.out.note("moe.k",
                      "The second expert is sampled (Gumbel noise), in evaluation too, unless " +
                          second + " is given.");
  }
  if (k != 2) return c.out.drop(second, "read with --topk 2 alone");
  c.out.set("moe.gate.params.top2_2nd_expert_sampling", "false", second);
}

std::span<const Flag> moe_flags() { return kFlags; }

}  // namespace moiety::config
