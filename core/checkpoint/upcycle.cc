// Slices and copies.
#include "core/checkpoint/upcycle.h"

#include <cmath>
#include <span>

#include "core/base/check.h"
#include "core/model/initialize.h"

namespace moiety {

namespace {

/// A tensor of the dense layer as [outer, hidden, inner].
struct Cut {
  int64_t outer = 1, inner = 1;
  bool whole = false;  // no axis of hidden units: every expert has all of it
};

Cut cut_of(const std::string& name, int64_t elements, int64_t hidden) {
  if (name == "w_in" || name == "b_in") return {elements / hidden, 1, false};
  if (name == "w_out") return {1, elements / hidden, false};
  MOIETY_CHECK(name == "b_out",
               "experts with a parameter '{}' cannot start from a dense layer; known are w_in, "
               "b_in, w_out and b_out",
               name);
  return {1, elements, true};
}

double deviation(const std::vector<float>& values) {
  double sum = 0, square = 0;
  for (const float x : values) sum += static_cast<double>(x);
  const double n = static_cast<double>(values.size()), mean = sum / n;
  for (const float x : values) square += std::pow(static_cast<double>(x) - mean, 2);
  return std::sqrt(square / n);
}

}  // namespace

void check_upcycling(const Upcycling& u, int64_t layer) {
  MOIETY_CHECK(u.hidden >= 1 && u.dense_hidden % u.hidden == 0,
               "model.init_from.upcycle: layer {} of the checkpoint is {} wide, which experts {} "
               "wide do not divide; moe.hidden must be {} or a divisor of it",
               layer, u.dense_hidden, u.hidden, u.dense_hidden);
  MOIETY_CHECK(u.experts % u.granularity() == 0,
               "model.init_from.upcycle: layer {} of the checkpoint becomes {} slices, which {} "
               "experts cannot hold evenly; moe.num_experts must be a multiple of {}",
               layer, u.granularity(), u.experts, u.granularity());
}

std::vector<float> upcycled(const Upcycling& u, const std::string& name,
                            const std::vector<float>& dense, uint64_t noise_key) {
  const Cut cut = cut_of(name, static_cast<int64_t>(dense.size()), u.dense_hidden);
  const int64_t width = cut.whole ? 1 : u.hidden, stride = cut.whole ? 1 : u.dense_hidden;
  const auto scale = static_cast<float>(name == "w_out" ? u.granularity() : 1);
  std::vector<float> out;
  out.reserve(static_cast<size_t>(u.experts * cut.outer * width * cut.inner));
  for (int64_t e = 0; e < u.experts; ++e) {
    const int64_t first = cut.whole ? 0 : e % u.granularity() * u.hidden;
    for (int64_t o = 0; o < cut.outer; ++o) {
      const int64_t begin = (o * stride + first) * cut.inner;
      for (int64_t i = begin; i < begin + width * cut.inner; ++i) {
        out.push_back(dense[static_cast<size_t>(i)] * scale);
      }
    }
  }
  if (u.noise == 0 || name.starts_with("b_")) return out;
  const InitialValues noise{noise_key, Init::kNormal,
                            u.noise * deviation(dense) * static_cast<double>(scale), 0};
  std::vector<float> drawn(out.size());
  draw(noise, 0, std::span(drawn));
  for (size_t i = 0; i < out.size(); ++i) out[i] += drawn[i];
  return out;
}

std::vector<float> grouped_router(const Upcycling& u, std::vector<float> router) {
  for (size_t i = 0; i < router.size(); ++i) {
    const auto expert = static_cast<int64_t>(i) % u.experts;
    router[i] = router[i - static_cast<size_t>(expert % u.granularity())];
  }
  return router;
}

}  // namespace moiety
