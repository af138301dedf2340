// Hash layers (Roller et al., 2021): a token's experts follow from its id (or its position) by a
// fixed random function, nothing is learned. k hash functions give k different experts.
#include <moiety/gate_options.h>
#include <moiety/plugin.h>
#include <moiety/softmax_gate.h>
#include <moiety/chosen_share.cuh>

namespace {

using namespace moiety;

MOIETY_HD uint64_t mixed(uint64_t x) {  // splitmix64 (Steele et al., 2014)
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct Hash {           // the k experts of a token: each hash picks among those that are left
  const int32_t* ids;   // null: by position
  const uint8_t* mask;  // null: all tokens
  Rows<int32_t> index;
  Rows<float> equal;  // 1 / k
  uint64_t key;
  int64_t experts, k, sequence;

  MOIETY_HD bool taken(const int32_t* chosen, int64_t n, int32_t e) const {
    for (int64_t i = 0; i < n; ++i) {
      if (chosen[i] == e) return true;
    }
    return false;
  }
  MOIETY_HD int32_t among_the_rest(const int32_t* chosen, int64_t n, uint64_t draw) const {
    auto left = static_cast<int64_t>(draw % static_cast<uint64_t>(experts - n));
    int32_t e = 0;
    for (;; ++e) {
      if (taken(chosen, n, e)) continue;
      if (left-- == 0) return e;
    }
  }
  MOIETY_HD void operator()(int64_t t) const {
    const bool used = mask == nullptr || mask[t] != 0;
    for (int64_t n = 0; n < k; ++n) {
      int32_t e = kUnused;
      if (used && ids != nullptr) {
        const uint64_t token = static_cast<uint32_t>(ids[t]);
        e = among_the_rest(index[t], n, mixed(key ^ mixed(token << 8 | static_cast<uint64_t>(n))));
      } else if (used) {
        e = static_cast<int32_t>((t % sequence * k + n) % experts);
      }
      index[t][n] = e;
      equal[t][n] = used ? 1 / static_cast<float>(k) : 0.f;
    }
  }
};

class HashGate final : public GatingPolicy {
 public:
  struct Options : CapacityOptions {
    Options() { drop_tokens = false; }
    int64_t k = 1, seed = 0;
    std::string key = "token", weights = "equal";
    static void describe(Schema<Options>& s) {
      s.field("k", &Options::k, "hash functions, each of which sends a token to another expert")
          .range(1, 64);
      s.field("key", &Options::key,
              "what is hashed: the token's id, or its position, turn by turn over the experts")
          .one_of({"token", "position"});
      s.field("seed", &Options::seed, "of the hash functions; every layer has its own")
          .range(0, 1 << 30);
      s.field("weights", &Options::weights,
              "1 / k each, or shares of the router's softmax over the chosen experts")
          .one_of({"equal", "softmax"});
      describe_capacity(s);
    }
  };
  HashGate(const Options& options, const ModelDims& dims) : options_(options) {
    if (dims.sequence == 1) {  // the gate would send every image to the same expert
      throw ConfigError(
          "a hash needs token ids or positions, and a model of images has neither; choose another "
          "gate");
    }
    key_ = mixed(mixed(static_cast<uint64_t>(options.seed)) + static_cast<uint64_t>(dims.layer));
  }

  const void* facet(std::string_view name) const override { return balances_itself(name); }

  PlanShape plan_shape(int64_t T, int64_t E, bool training) const override {
    check_choices(options_.k, E);
    return {.slots = options_.k,
            .capacity = options_.places(T, E, options_.k, training),
            .writes_position = true,
            .writes_scores = true};
  }

  void forward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
               Saved&) const override {
    const int64_t T = in.logits.dim(0), E = in.logits.dim(1);
    const bool by_token = options_.key == "token";
    if (by_token && !in.token_ids) {
      throw Error("a hash of token ids, but the call came without token_ids");
    }
    ops::softmax_rows(exec, in.logits, plan.scores);
    const int64_t sequence = in.batch > 0 && T >= in.batch ? T / in.batch : T;
    for_each_row(
        exec, T,
        Hash{by_token ? in.token_ids.data<int32_t>() : nullptr,
             in.token_mask ? in.token_mask.data<uint8_t>() : nullptr, plan.index.rows<int32_t>(),
             plan.weight.rows<float>(), key_, E, options_.k, sequence});
    ops::assign_positions(exec, ops::SlotOrder::kToken, E, plan.capacity, plan.index,
                          plan.position);
    if (learned()) chosen_share(exec, kShare, plan.scores, plan.index, plan.weight);
  }

  void backward(Exec& exec, const GatingInputs& in, const Params&, const RoutingPlan& plan,
                const Saved&, const RoutingGrad& grad, const GatingGrad& out) const override {
    const TensorView dprobs = exec.scratch(DType::kF32, {in.logits.dim(0), in.logits.dim(1)});
    if (learned()) {
      chosen_share_backward(exec, kShare, plan.scores, plan.index, grad.weight, dprobs);
    } else {
      ops::fill(exec, dprobs, 0);
    }
    softmax_gate_backward(exec, plan, grad, dprobs, out);
  }

 private:
  // Logits far apart leave the chosen experts no probability at all.
  static constexpr ShareForm kShare{.epsilon = 1e-20f};
  bool learned() const { return options_.weights == "softmax"; }
  Options options_;
  uint64_t key_ = 0;
};

}  // namespace

MOIETY_PLUGIN("hash", "1.0.0") {
  plugin.add<HashGate>("hash", "experts by a hash of the token's id, nothing learned");
}
