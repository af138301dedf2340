// moe_layers.h5: whole blocks of transformers' models.
#include <algorithm>

#include "core/base/check.h"
#include "core/checkpoint/shapes.h"
#include "core/testing/parity_layer.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 1e-5;

/// Matrices side by side, [E, rows, columns] -> [E, columns, rows].
std::vector<float> transposed_each(const std::vector<float>& values, int64_t experts, int64_t rows,
                                   int64_t columns) {
  std::vector<float> out;
  const int64_t size = rows * columns;
  for (int64_t e = 0; e < experts; ++e) {
    const std::vector<float> one(values.begin() + e * size, values.begin() + (e + 1) * size);
    const std::vector<float> turned = transposed(one, rows, columns);
    out.insert(out.end(), turned.begin(), turned.end());
  }
  return out;
}

/// Moiety's parameter and the reference's, which is its transpose; several are one above the other.
struct Weight {
  std::string ours;
  std::vector<std::string> reference;
  int64_t experts, rows, columns;  // of the reference, all parts together
};

class Block {
 public:
  Block(Parity& parity, const h5::File& file, const std::string& group)
      : parity_(parity), file_(file), group_(group) {
    sizes_.model = file.integer(group, "hidden_size");
    sizes_.hidden = first_of({"moe_intermediate_size", "intermediate_size"});
    sizes_.experts = first_of({"n_routed_experts", "num_experts", "num_local_experts"});
    sizes_.added = file.has_attribute(group, "n_shared_experts")
                       ? file.integer(group, "n_shared_experts") * sizes_.hidden
                       : 0;
    MOIETY_CHECK(file.text(group, "hidden_act") == "silu", "hidden_act is not silu");
  }

  /// With the gate's options from the attributes that have their names, and `more`. `label` marks
  /// the quantities where a block is compared with several gates.
  void compare(const std::string& gate, OptionMap more, const std::string& label = "") {
    more.emplace_back("k", file_.integer(group_, "num_experts_per_tok"));
    ComponentChoice choice =
        choice_from(parity_.plugins, ComponentKind::kGating, gate, file_, group_);
    for (const auto& [name, value] : more) set_option(choice, name, value);
    const ComponentInfo& expert = parity_.plugins.find(ComponentKind::kExpert, "swiglu");
    ParityBench bench(parity_.context);
    ParityLayer layer(parity_, bench, choice, {"swiglu", complete_options(expert, {})}, sizes_);
    const std::vector<Weight> all = weights();
    size_t parts = 0;
    for (const Weight& w : all) {
      parts += w.reference.size();
      layer.set(w.ours, read("weights", w));
    }
    const std::string bias = group_ + "/weights/gate.e_score_correction_bias";
    if (file_.exists(bias)) {
      layer.set("gate.correction_bias", file_.floats(bias));
      ++parts;
    }
    MOIETY_CHECK(file_.children(group_ + "/weights").size() == parts,
                 "the block has other weights than expected");
    layer.forward(file_.floats(group_ + "/x"), {}, file_.info(group_ + "/x").shape.at(0));
    layer.backward({}, file_.floats(group_ + "/dy"));
    ParityReport& report = parity_.report;
    report.add("y" + label, norm_error(layer.out, file_.floats(group_ + "/y")), kTolerance);
    report.add("dx" + label, norm_error(layer.dx, file_.floats(group_ + "/dx")), kTolerance);
    for (const Weight& w : all) {
      report.add("d " + w.reference.front() + label,
                 norm_error(layer.gradient(w.ours), read("grads", w)), kTolerance);
    }
  }

 private:
  int64_t first_of(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      if (file_.has_attribute(group_, name)) return file_.integer(group_, name);
    }
    throw Error(group_ + ": no attribute " + *names.begin());
  }
  static void set_option(ComponentChoice& choice, const std::string& name, const Value& value) {
    const auto it = std::find_if(choice.options.begin(), choice.options.end(),
                                 [&](const auto& option) { return option.first == name; });
    MOIETY_CHECK(it != choice.options.end(), "gating {} has no option {}", choice.type, name);
    it->second = value;
  }
  std::vector<Weight> weights() const {
    const int64_t d = sizes_.model, h = sizes_.hidden, e = sizes_.experts, a = sizes_.added;
    std::vector<Weight> all = {{"router.weight", {"gate.weight"}, 1, e, d},
                               {"experts.w_in", {"experts.gate_up_proj"}, e, 2 * h, d},
                               {"experts.w_out", {"experts.down_proj"}, e, d, h}};
    if (a == 0) return all;
    all.push_back({"dense.w_in",
                   {"shared_experts.gate_proj.weight", "shared_experts.up_proj.weight"},
                   1,
                   2 * a,
                   d});
    all.push_back({"dense.w_out", {"shared_experts.down_proj.weight"}, 1, d, a});
    return all;
  }
  std::vector<float> read(const char* kind, const Weight& w) const {
    std::vector<float> values;
    for (const std::string& name : w.reference) {
      const std::vector<float> part = file_.floats(group_ + "/" + kind + "/" + name);
      values.insert(values.end(), part.begin(), part.end());
    }
    return transposed_each(values, w.experts, w.rows, w.columns);
  }

  Parity& parity_;
  const h5::File& file_;
  std::string group_;
  ParityLayerSizes sizes_;
};

void compare_block(Parity& parity, const h5::File& file, const std::string& group) {
  Block block(parity, file, group);
  if (group == "deepseek_v3") return block.compare("sigmoid_topk", {});
  block.compare("softmax_topk", {});
  if (group == "mixtral") block.compare("topk", {{"drop_tokens", false}}, " (topk)");
}

}  // namespace

void compare_moe_layers(Parity& parity) {
  const char* reference = "moe_layers.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& group : file->children("")) {
    compare_case(parity, reference, group, [&] { compare_block(parity, *file, group); });
  }
}

}  // namespace moiety::testing
