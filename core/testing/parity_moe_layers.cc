// moe_layers.h5: whole blocks of transformers' models.
#include "core/base/check.h"
#include "core/checkpoint/shapes.h"
#include "core/testing/parity_layer.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 1e-5;

/// [E, rows, columns] -> [E, columns, rows].
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

/// Moiety's parameter and the reference's, which is its transpose.
struct Weight {
  const char* ours;
  const char* reference;
  int64_t experts, rows, columns;  // of the reference
};

void compare_mixtral(Parity& parity, const h5::File& file, const std::string& group) {
  const int64_t d = file.integer(group, "hidden_size"),
                h = file.integer(group, "intermediate_size"),
                e = file.integer(group, "num_local_experts");
  MOIETY_CHECK(file.text(group, "hidden_act") == "silu", "hidden_act is not silu");
  const ComponentInfo& gate = parity.plugins.find(ComponentKind::kGating, "topk");
  const ComponentInfo& expert = parity.plugins.find(ComponentKind::kExpert, "swiglu");
  const OptionMap options = complete_options(
      gate, {{"k", file.integer(group, "num_experts_per_tok")}, {"drop_tokens", false}});
  ParityBench bench(parity.context);
  ParityLayer layer(parity, bench, {"topk", options}, {"swiglu", complete_options(expert, {})},
                    {d, h, e});
  const Weight weights[] = {{"router.weight", "gate.weight", 1, e, d},
                            {"experts.w_in", "experts.gate_up_proj", e, 2 * h, d},
                            {"experts.w_out", "experts.down_proj", e, d, h}};
  const auto read = [&](const char* kind, const Weight& w) {
    const std::string path = group + "/" + kind + "/" + w.reference;
    return transposed_each(file.floats(path), w.experts, w.rows, w.columns);
  };
  MOIETY_CHECK(file.children(group + "/weights").size() == std::size(weights),
               "the block has other weights than expected");
  for (const Weight& w : weights) layer.set(w.ours, read("weights", w));
  layer.forward(file.floats(group + "/x"), {}, file.info(group + "/x").shape.at(0));
  layer.backward({}, file.floats(group + "/dy"));
  ParityReport& report = parity.report;
  report.add("y", norm_error(layer.out, file.floats(group + "/y")), kTolerance);
  report.add("dx", norm_error(layer.dx, file.floats(group + "/dx")), kTolerance);
  for (const Weight& w : weights) {
    report.add(std::string("d ") + w.reference,
               norm_error(layer.gradient(w.ours), read("grads", w)), kTolerance);
  }
}

}  // namespace

void compare_moe_layers(Parity& parity) {
  const char* reference = "moe_layers.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& group : file->children("")) {
    if (group != "mixtral") {
      parity.report.later(reference, group, "no such block yet");
      continue;
    }
    compare_case(parity, reference, group, [&] { compare_mixtral(parity, *file, group); });
  }
}

}  // namespace moiety::testing
