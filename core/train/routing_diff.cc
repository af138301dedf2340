// `moiety routing diff`: two recordings, plan by plan.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <set>

#include <moiety/error.h>

#include "core/train/routing_log.h"

namespace moiety {

namespace {

struct Layer {
  int64_t plans = 0, slots = 0, choices = 0, drops = 0, weights = 0;
  double largest = 0;
};

std::string code(int64_t index) {
  if (index == kUnused) return "unused";
  return index >= 0 ? fmt::format("{}", index) : fmt::format("{} dropped", -1 - index);
}

class Comparison {
 public:
  Comparison(const std::filesystem::path& a, const std::filesystem::path& b)
      : a_(open(a)), b_(open(b)) {}

  RoutingDifference run() {
    const std::set<std::string> of_a = plans(a_), of_b = plans(b_);
    for (const std::string& plan : of_a) {
      if (of_b.contains(plan)) {
        compare(plan);
      } else {
        ++only_a_;
      }
    }
    only_b_ = std::count_if(of_b.begin(), of_b.end(),
                            [&](const std::string& plan) { return !of_a.contains(plan); });
    return {first_.empty() && only_a_ == 0 && only_b_ == 0, table()};
  }

 private:
  static h5::File open(const std::filesystem::path& path) {
    try {
      return {path, h5::File::Mode::kRead};
    } catch (const Error& e) {
      throw ConfigError(fmt::format("routing diff: {} is no recording (moe.router.record): {}",
                                    path.string(), e.what()));
    }
  }
  static std::set<std::string> plans(const h5::File& file) {
    std::set<std::string> out;
    for (const std::string& dataset : file.datasets("")) {
      if (dataset.starts_with("step_") && dataset.ends_with("/index")) {
        out.insert(dataset.substr(0, dataset.size() - 6));
      }
    }
    if (out.empty()) {
      throw ConfigError(
          fmt::format("routing diff: {} holds no recording of a routing (moe.router.record)",
                      file.path().string()));
    }
    return out;
  }

  void differs(const std::string& plan, size_t slot, const std::string& what) {
    if (first_.empty()) first_ = fmt::format("first difference: {}, slot {}: {}", plan, slot, what);
  }

  void compare(const std::string& plan) {
    Layer& layer = layers_[plan.substr(plan.rfind('/') + 1)];
    ++layer.plans;
    const std::vector<int64_t> ia = a_.integers(plan + "/index"), ib = b_.integers(plan + "/index");
    const std::vector<float> wa = a_.floats(plan + "/weight"), wb = b_.floats(plan + "/weight");
    if (a_.info(plan + "/index").shape != b_.info(plan + "/index").shape) {
      layer.choices += static_cast<int64_t>(ia.size());
      return differs(plan, 0, "the plans have other sizes");
    }
    layer.slots += static_cast<int64_t>(ia.size());
    for (size_t i = 0; i < ia.size(); ++i) {
      if (ia[i] != ib[i]) {
        const bool same =
            choice(static_cast<int32_t>(ia[i])) == choice(static_cast<int32_t>(ib[i]));
        ++(same ? layer.drops : layer.choices);
        differs(plan, i, code(ia[i]) + " against " + code(ib[i]));
      } else if (ia[i] >= 0 && std::bit_cast<uint32_t>(wa[i]) != std::bit_cast<uint32_t>(wb[i])) {
        ++layer.weights;
        layer.largest = std::max(layer.largest, std::abs(static_cast<double>(wa[i]) - wb[i]));
        differs(plan, i, fmt::format("weight {:.9g} against {:.9g}", wa[i], wb[i]));
      }
    }
  }

  std::string table() const {
    std::string out =
        fmt::format("{:<10} {:>8} {:>12} {:>16} {:>14} {:>16} {:>18}\n", "layer", "plans", "slots",
                    "other choices", "other drops", "other weights", "largest weight");
    for (const auto& [name, l] : layers_) {
      out += fmt::format("{:<10} {:>8} {:>12} {:>16} {:>14} {:>16} {:>18.3g}\n", name, l.plans,
                         l.slots, l.choices, l.drops, l.weights, l.largest);
    }
    if (only_a_ > 0) out += fmt::format("{} plans are in the first file only\n", only_a_);
    if (only_b_ > 0) out += fmt::format("{} plans are in the second file only\n", only_b_);
    if (!first_.empty()) out += first_ + "\n";
    return out;
  }

  h5::File a_, b_;
  std::map<std::string, Layer> layers_;
  std::string first_;
  int64_t only_a_ = 0, only_b_ = 0;
};

}  // namespace

RoutingDifference compare_routing(const std::filesystem::path& a, const std::filesystem::path& b) {
  return Comparison(a, b).run();
}

}  // namespace moiety
