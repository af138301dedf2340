// gating.h5: DeepSpeed's three gates. losses.h5: the router's z-loss.
#include <algorithm>

#include "core/testing/parity_layer.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 1e-6;

std::vector<int64_t> integers(const std::vector<float>& values) {
  std::vector<int64_t> out;
  out.reserve(values.size());
  for (const float x : values) out.push_back(static_cast<int64_t>(x));
  return out;
}

/// [T, E]: the place of token t in expert e, or -1.
std::vector<int64_t> slots_of(ParityBench& bench, const LogitsLayer& layer, int64_t tokens,
                              int64_t experts) {
  const std::vector<int32_t> index = bench.integers(layer.plan().index),
                             position = bench.integers(layer.plan().position);
  const int64_t k = layer.shape().slots;
  std::vector<int64_t> slots(static_cast<size_t>(tokens * experts), -1);
  for (size_t i = 0; i < index.size(); ++i) {
    const int64_t t = static_cast<int64_t>(i) / k, e = index[i];
    if (e >= 0) slots[static_cast<size_t>(t * experts + e)] = position[i];
  }
  return slots;
}

class GatingCase {
 public:
  GatingCase(Parity& parity, const h5::File& file, std::string gate, std::string path)
      : parity_(parity), file_(file), gate_(std::move(gate)), path_(std::move(path)) {
    const std::vector<int64_t> shape = file.info(at("logits")).shape;
    tokens_ = shape.at(0), experts_ = shape.at(1);
  }

  void run() {
    ParityBench bench(parity_.context);
    bind_noise(bench, "noise_uniform01", "rts");
    bind_noise(bench, "noise_gumbel", "gumbel_noise");
    const ComponentChoice choice =
        choice_from(parity_.plugins, ComponentKind::kGating, gate_, file_, path_);
    LogitsLayer layer(parity_, bench, choice, experts_);
    layer.forward(file_.floats(at("logits")), mask(), 1);
    layer.backward({.gate = 1}, file_.floats(at("upstream")));
    ParityReport& report = parity_.report;
    const std::vector<int64_t> counts = file_.integers(at("exp_counts"));
    report.add("exp_counts", differences(integers(layer.chosen), counts), 0);
    report.add("l_aux", largest_error(layer.aux, file_.floats(at("l_aux"))), kTolerance);
    if (layer.shape().capacity > 0) {
      report.add("capacity", differences({layer.shape().capacity}, {capacity()}), 0);
    }
    if (is_tie_order(counts)) return;
    report.add("slot",
               differences(slots_of(bench, layer, tokens_, experts_), file_.integers(at("slot"))),
               0);
    report.add("combine_weight", largest_error(layer.out, file_.floats(at("combine_weight"))),
               kTolerance);
    report.add("dlogits", largest_error(layer.dx, file_.floats(at("dlogits"))), kTolerance);
  }

 private:
  std::string at(const char* name) const { return path_ + "/" + name; }
  int64_t capacity() const { return file_.integer(path_, "capacity_slots"); }

  void bind_noise(ParityBench& bench, const char* name, RngKey purpose) const {
    if (file_.exists(at(name))) bench.bind(purpose, file_.floats(at(name)), experts_);
  }
  std::vector<uint8_t> mask() const {
    std::vector<uint8_t> out;
    if (!file_.exists(at("used_token"))) return out;
    for (const int64_t x : file_.integers(at("used_token"))) out.push_back(x != 0 ? 1 : 0);
    return out;
  }
  /// Without random token selection, PyTorch's order of equal values decides who stays in a full
  /// expert of top-1: no rule that another program could follow.
  bool is_tie_order(const std::vector<int64_t>& counts) const {
    if (gate_ != "top1" || file_.integer(path_, "use_rts") != 0) return false;
    const bool full = std::any_of(counts.begin(), counts.end(),
                                  [&](int64_t count) { return count > capacity(); });
    return full && file_.integer(path_, "drop_tokens") != 0;
  }

  Parity& parity_;
  const h5::File& file_;
  std::string gate_, path_;
  int64_t tokens_ = 0, experts_ = 0;
};

}  // namespace

void compare_gating(Parity& parity) {
  const char* reference = "gating.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& gate : file->children("")) {
    if (gate != "top1" && gate != "top2" && gate != "topk") {
      parity.report.later(reference, gate, "no such gate yet");
      continue;
    }
    for (const std::string& name : file->children(gate)) {
      const std::string path = gate + "/" + name;
      compare_case(parity, reference, path, [&] { GatingCase(parity, *file, gate, path).run(); });
    }
  }
}

void compare_router_z(Parity& parity) {
  const char* reference = "losses.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& group : file->children("")) {
    if (group == "mos_kl") {
      for (const std::string& name : file->children(group)) {
        const std::string path = group + "/" + name;
        compare_case(parity, reference, path, [&] { compare_distillation(parity, *file, path); });
      }
      continue;
    }
    if (group != "router_z") {
      parity.report.later(reference, group, "no such loss yet");
      continue;
    }
    for (const std::string& name : file->children(group)) {
      const std::string path = group + "/" + name;
      compare_case(parity, reference, path, [&] {
        const std::vector<int64_t> shape = file->info(path + "/logits").shape;
        ParityBench bench(parity.context);
        const ComponentInfo& gate = parity.plugins.find(ComponentKind::kGating, "top1");
        LogitsLayer layer(parity, bench, {"top1", complete_options(gate, {})}, shape.at(1));
        const std::vector<float> logits = file->floats(path + "/logits");
        layer.forward(logits, {}, 1);
        layer.backward({.z = 1}, std::vector<float>(logits.size()));
        parity.report.add("z_loss", largest_error(layer.z_loss, file->floats(path + "/z_loss")),
                          kTolerance);
        parity.report.add("dlogits", largest_error(layer.dx, file->floats(path + "/dlogits")),
                          kTolerance);
      });
    }
  }
}

}  // namespace moiety::testing
