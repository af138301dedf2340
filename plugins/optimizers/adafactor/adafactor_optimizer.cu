// Adafactor (Shazeer and Stern, 2018, Algorithms 4 to 6): the variance of a matrix as a product of
// one factor a row and one a column, an update whose RMS is clipped, a rate relative to the
// weights.
#include <moiety/plugin.h>
#include "adafactor_passes.cuh"

namespace {

using namespace moiety;
using namespace adafactor;

struct Options {
  double lr = 1e-2;
  std::vector<double> eps = {1e-30, 1e-3};
  double clip_threshold = 1, decay_rate = 0.8, beta1 = 0, weight_decay = 0;
  bool scale_parameter = true, relative_step = false;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 10);
    s.field("eps", &Options::eps,
            "added to the squared gradient; smallest RMS of a matrix that its rate follows")
        .length(2)
        .range(1e-38, 1);
    s.field("clip_threshold", &Options::clip_threshold, "largest RMS of an update before the rate")
        .range(1e-3, 1e6);
    s.field("decay_rate", &Options::decay_rate, "c in beta2 = 1 - step^-c").range(0, 1);
    s.field("beta1", &Options::beta1, "decay of a momentum of the updates; 0 = none, no memory")
        .range(0, 0.9999999);
    s.field("weight_decay", &Options::weight_decay, "decoupled: times the learning rate")
        .range(0, 10);
    s.field("scale_parameter", &Options::scale_parameter,
            "the rate of a matrix is lr times its RMS");
    s.field("relative_step", &Options::relative_step, "lr is at most 1 / sqrt(step)");
  }
};

class Adafactor final : public Optimizer {
 public:
  using Options = ::Options;
  Adafactor(const Options& o, const ModelDims&)
      : rule_{o.eps[0], o.eps[1],       o.clip_threshold,  o.decay_rate,
              o.beta1,  o.weight_decay, o.scale_parameter, o.relative_step} {}

  std::vector<StateSpec> state(const ParamInfo& info) const override {
    const MatrixShape shape = matrix_shape(info.shape, info.first_expert >= 0);
    std::vector<StateSpec> specs;
    if (shape.is_matrix()) {
      std::vector<int64_t> row, column;
      if (info.shape.size() > 2) row.push_back(shape.count);
      if (info.shape.size() > 3) row.push_back(shape.beside);
      column = row;
      row.push_back(shape.rows);
      column.push_back(shape.columns);
      specs = {{.name = "row", .shape = row}, {.name = "column", .shape = column}};
    } else {
      specs = {{.name = "variance"}};
    }
    if (rule_.beta1 > 0) specs.push_back({.name = "momentum"});
    return specs;
  }
  bool needs_whole_tensors() const override { return true; }
  const void* facet(std::string_view name) const override { return reads_weight_storage(name); }

  void bind(Exec& exec, std::span<const ParamSlice> slices) override {
    matrices_ = {};
    rows_ = column_blocks_ = 0;
    std::vector<Factors> factors;
    for (const ParamSlice& p : slices) {
      const int64_t first = matrices_.size();
      matrices_.add(p);
      for (int64_t i = first; i < matrices_.size(); ++i) {
        factors.push_back(factors_of(p, matrices_.host()[static_cast<size_t>(i)], i - first));
      }
    }
    matrices_.upload(exec);
    factors_ = ParamMatrices::copy(exec, factors);
  }

  void step(Exec& exec) const override {
    const int64_t matrices = matrices_.size(), tiles = matrices_.tile_count();
    float* mean = exec.scratch(DType::kF32, {matrices}).data<float>();
    float* rate = exec.scratch(DType::kF32, {matrices}).data<float>();
    double* partial = scratch_doubles(exec, 2 * tiles);
    const Work work{rule_,    exec.step(), matrices_.device(), matrices_.tiles(), factors_,
                    matrices, mean};
    for_each_block(exec, rows_, RowFactors{work});
    for_each_block(exec, column_blocks_, ColumnFactors{work});
    for_each_block(exec, matrices, RowMean{work, mean});
    for_each_block(exec, tiles, Sizes{work, partial});
    for_each_block(exec, matrices, SumTiles<2, Rate>{work.matrices, partial, {work, rate}});
    for_each_block(exec, tiles, Update{work, rate});
  }

 private:
  /// Of matrix `i` of a parameter.
  Factors factors_of(const ParamSlice& p, const ParamMatrix& m, int64_t i) {
    const int64_t at = m.first;
    Factors f;
    f.first_row = rows_;
    f.first_column_block = column_blocks_;
    if (m.rows > 1 && m.columns > 1) {
      f.row = p.state[0].data<float>() + i * m.rows;
      f.column = p.state[1].data<float>() + i * m.columns;
      rows_ += m.rows;
      column_blocks_ += (m.columns + kColumns - 1) / kColumns;
    } else {
      f.variance = p.state[0].data<float>() + at;
    }
    if (rule_.beta1 > 0) f.momentum = p.state.back().data<float>() + at;
    return f;
  }

  Rule rule_;
  ParamMatrices matrices_;
  const Factors* factors_ = nullptr;  // device
  int64_t rows_ = 0, column_blocks_ = 0;
};

}  // namespace

MOIETY_PLUGIN("adafactor", "1.0.0") {
  plugin.add<Adafactor>("adafactor", "variances as row and column factors, clipped updates");
}
