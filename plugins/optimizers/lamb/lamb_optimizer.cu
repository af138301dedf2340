// LAMB (You et al., 2020, "Large Batch Optimization for Deep Learning", Algorithm 2): Adam's
// direction, rescaled for every matrix by the ratio of its norm to the direction's.
#include <cmath>

#include <moiety/plugin.h>
#include <moiety/blocks.cuh>
#include <moiety/param_matrices.cuh>

namespace {

using namespace moiety;

struct Options {
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8, weight_decay = 0, min_coeff = 0.01, max_coeff = 10;
  bool bias_correction = true;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 10);
    s.field("betas", &Options::betas, "decay of the mean and of the variance")
        .length(2)
        .range(0, 0.9999999);
    s.field("eps", &Options::eps, "added to the deviation").range(1e-20, 1);
    s.field("weight_decay", &Options::weight_decay, "part of the direction whose norm counts")
        .range(0, 10);
    s.field("min_coeff", &Options::min_coeff, "smallest ratio of the norms").range(0, 1);
    s.field("max_coeff", &Options::max_coeff, "largest ratio of the norms").range(1, 1e6);
    s.field("bias_correction", &Options::bias_correction,
            "mean and variance are divided by 1 - beta^step");
  }
};

struct LambRule {
  double beta1, beta2, eps, weight_decay, min_ratio, max_ratio;
  bool bias_correction;
};

/// Adam's direction with the decay: r = m^ / (sqrt(v^) + eps) + decay * w.
struct Direction {
  float mean_factor, deviation_factor, eps, decay;

  MOIETY_HD Direction(const LambRule& rule, const StepState& s, float decay_scale)
      : eps(static_cast<float>(rule.eps)),
        decay(static_cast<float>(rule.weight_decay * static_cast<double>(decay_scale))) {
    const auto t = static_cast<double>(s.update);
    const bool on = rule.bias_correction;
    const double b1 = s.first_beta(rule.beta1), b2 = s.second_beta(rule.beta2);
    mean_factor = static_cast<float>(on ? 1 / (1 - pow(b1, t)) : 1.0);
    deviation_factor = static_cast<float>(on ? 1 / sqrt(1 - pow(b2, t)) : 1.0);
  }
  MOIETY_HD float operator()(float w, float mean, float variance) const {
    return mean * mean_factor / (sqrtf(variance) * deviation_factor + eps) + decay * w;
  }
};

struct Work {
  LambRule rule;
  const StepState* step;
  const ParamMatrix* matrices;
  const MatrixTile* tiles;
};

/// Mean and variance; the squares of the weights and of their directions.
struct Moments {
  static constexpr int kSums = 2;
  Work work;
  double* partial;  // [tiles, 2]

  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double* sums) const {
    if (work.step->skip != 0) return;
    const MatrixTile tile = work.tiles[block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const Direction direction(work.rule, *work.step, m.decay_scale);
    const float factor = work.step->grad_factor;
    const double b1 = work.step->first_beta(work.rule.beta1),
                 b2 = work.step->second_beta(work.rule.beta2);
    const auto keep1 = static_cast<float>(b1), add1 = static_cast<float>(1 - b1),
               keep2 = static_cast<float>(b2), add2 = static_cast<float>(1 - b2);
    double weights = 0, directions = 0;
    tile.each(m, lane, lanes, [&](int64_t, int64_t, int64_t i) {
      const float g = m.gradient(i) * factor, w = m.weight(i);
      const float mean = keep1 * m.state[0][i] + add1 * g;
      const float variance = keep2 * m.state[1][i] + add2 * (g * g);
      m.state[0][i] = mean;
      m.state[1][i] = variance;
      const auto r = static_cast<double>(direction(w, mean, variance));
      weights += static_cast<double>(w) * static_cast<double>(w);
      directions += r * r;
    });
    sums[0] = weights;
    sums[1] = directions;
  }
  MOIETY_HD void finish(int64_t block, const double* sums) const {
    partial[2 * block] = sums[0];
    partial[2 * block + 1] = sums[1];
  }
};

/// |w| / |r|, clamped; 1 where one of them is 0.
struct Ratio {
  LambRule rule;
  float* ratio;  // [matrices]
  MOIETY_HD void operator()(int64_t matrix, const double* squares) const {
    double x = 1;
    if (squares[0] > 0 && squares[1] > 0) {
      x = sqrt(squares[0] / squares[1]);
      x = x < rule.min_ratio ? rule.min_ratio : x;
      x = x > rule.max_ratio ? rule.max_ratio : x;
    }
    ratio[matrix] = static_cast<float>(x);
  }
};

struct Update {
  static constexpr int kSums = 0;
  Work work;
  const float* ratio;

  MOIETY_HD void run(int64_t block, int64_t lane, int64_t lanes, double*) const {
    if (work.step->skip != 0) return;
    const MatrixTile tile = work.tiles[block];
    const ParamMatrix m = work.matrices[tile.matrix];
    const Direction direction(work.rule, *work.step, m.decay_scale);
    const float rate = work.step->lr * m.lr_scale * ratio[tile.matrix];
    tile.each(m, lane, lanes, [&](int64_t, int64_t, int64_t i) {
      const float w = m.weight(i);
      m.set_weight(i, w - rate * direction(w, m.state[0][i], m.state[1][i]));
    });
  }
};

class Lamb final : public Optimizer {
 public:
  using Options = ::Options;
  Lamb(const Options& o, const ModelDims&)
      : rule_{o.betas[0],  o.betas[1],       o.eps, o.weight_decay, o.min_coeff,
              o.max_coeff, o.bias_correction} {}

  std::vector<StateSpec> state(const ParamInfo&) const override {
    return {{.name = "mean"}, {.name = "variance"}};
  }
  bool needs_whole_tensors() const override { return true; }
  const void* facet(std::string_view name) const override { return reads_weight_storage(name); }

  void bind(Exec& exec, std::span<const ParamSlice> slices) override {
    matrices_ = {};
    for (const ParamSlice& p : slices) matrices_.add(p);
    matrices_.upload(exec);
  }

  void step(Exec& exec) const override {
    const Work work{rule_, exec.step(), matrices_.device(), matrices_.tiles()};
    double* partial = scratch_doubles(exec, 2 * matrices_.tile_count());
    float* ratio = exec.scratch(DType::kF32, {matrices_.size()}).data<float>();
    for_each_block(exec, matrices_.tile_count(), Moments{work, partial});
    for_each_block(exec, matrices_.size(),
                   SumTiles<2, Ratio>{work.matrices, partial, {rule_, ratio}});
    for_each_block(exec, matrices_.tile_count(), Update{work, ratio});
  }

 private:
  LambRule rule_;
  ParamMatrices matrices_;
};

}  // namespace

MOIETY_PLUGIN("lamb", "1.0.0") {
  plugin.add<Lamb>("lamb", "Adam's direction at a rate that follows each matrix's norm");
}
