// transformers' rope_parameters as numbers of the op (modeling_rope_utils.py).
#include "core/model/rope_form.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moiety {

namespace {

double magnitude(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

/// The pair that turns `turns` times within the original length.
double pair_of(double turns, double original, double theta, double size) {
  return size * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
}

ops::RopeScaling scaling_of(const ModelConfig& config, double size) {
  using Kind = ops::RopeScaling::Kind;
  const RopeScaling& c = config.rope_scaling;
  const auto original = static_cast<double>(c.original_length);
  ops::RopeScaling out;
  out.factor = c.factor;
  if (c.type == "linear") {
    out.kind = Kind::kLinear;
  } else if (c.type == "llama3") {
    out.kind = Kind::kLlama3;
    out.low = original / c.low_freq_factor, out.high = original / c.high_freq_factor;
  } else if (c.type == "yarn") {
    out.kind = Kind::kYarn;
    out.low = std::floor(pair_of(c.beta_fast, original, config.rope_theta, size));
    out.high = std::ceil(pair_of(c.beta_slow, original, config.rope_theta, size));
    out.low = std::max(out.low, 0.0), out.high = std::min(out.high, size - 1);
    if (out.low == out.high) out.high += 0.001;
    out.magnitude = c.mscale > 0 && c.mscale_all_dim > 0
                        ? magnitude(c.factor, c.mscale) / magnitude(c.factor, c.mscale_all_dim)
                        : magnitude(c.factor, 1);
  } else if (c.type != "none") {
    throw ConfigError("model.rope_scaling.type: '" + c.type +
                      "' is unknown; expected none, linear, llama3 or yarn");
  }
  return out;
}

}  // namespace

ops::RopeForm rope_form(const ModelConfig& config) {
  const bool latent = config.attention == "mla";
  const int64_t size = latent ? config.mla.qk_rope_head_dim : config.head_width();
  ops::RopeForm form;
  form.theta = config.rope_theta;
  form.interleaved = config.rope_interleaved;
  if (latent) form.begin = config.mla.qk_nope_head_dim;
  form.scaling = scaling_of(config, static_cast<double>(size));
  return form;
}

double rope_score_factor(const ModelConfig& config) {
  const RopeScaling& c = config.rope_scaling;
  if (config.attention != "mla" || c.type != "yarn" || c.mscale_all_dim == 0) return 1;
  const double m = magnitude(c.factor, c.mscale_all_dim);
  return m * m;
}

}  // namespace moiety
