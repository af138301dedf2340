// expert_choice.h5: every expert's tokens, their weights, and the logits' gradient.
#include <algorithm>

#include "core/testing/parity_layer.h"

namespace moiety::testing {

namespace {

constexpr double kTolerance = 1e-6;

/// Each expert's tokens in ascending order: the order within an expert means nothing.
std::vector<int64_t> sorted_rows(std::vector<int64_t> index, int64_t width) {
  for (auto row = index.begin(); row != index.end(); row += width) std::sort(row, row + width);
  return index;
}

void compare(Parity& parity, const h5::File& file, const std::string& group) {
  const auto at = [&](const char* name) { return group + "/" + name; };
  const std::vector<int64_t> shape = file.info(at("token_index")).shape;
  const int64_t experts = shape.at(0), places = shape.at(1),
                tokens = file.info(at("logits")).shape.at(0);
  const std::vector<int64_t> index = file.integers(at("token_index"));
  /// [E, C] -> [T, E].
  const auto by_token = [&](const std::vector<float>& values) {
    std::vector<float> out(static_cast<size_t>(tokens * experts));
    for (size_t i = 0; i < values.size(); ++i) {
      out[static_cast<size_t>(index[i] * experts + static_cast<int64_t>(i) / places)] = values[i];
    }
    return out;
  };
  ParityBench bench(parity.context);
  const ComponentChoice choice =
      choice_from(parity.plugins, ComponentKind::kGating, "expert_choice", file, group);
  LogitsLayer layer(parity, bench, choice, experts);
  layer.forward(file.floats(at("logits")), {}, 1);
  layer.backward({}, by_token(file.floats(at("upstream"))));
  ParityReport& report = parity.report;
  report.add("capacity", differences({layer.shape().slots}, {places}), 0);
  const std::vector<int32_t> got = bench.integers(layer.plan().index);
  report.add("token_index",
             differences(sorted_rows({got.begin(), got.end()}, places), sorted_rows(index, places)),
             0);
  report.add("weight", largest_error(layer.out, by_token(file.floats(at("weight")))), kTolerance);
  report.add("dlogits", largest_error(layer.dx, file.floats(at("dlogits"))), kTolerance);
}

}  // namespace

void compare_expert_choice(Parity& parity) {
  const char* reference = "expert_choice.h5";
  const std::optional<h5::File> file = open_reference(parity, reference);
  if (!file) return;
  for (const std::string& group : file->children("")) {
    compare_case(parity, reference, group, [&] { compare(parity, *file, group); });
  }
}

}  // namespace moiety::testing
