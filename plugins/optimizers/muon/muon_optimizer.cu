// Muon (Jordan et al., 2024): the momentum of a matrix, made orthogonal, is its update. As
// torch.optim.Muon computes it, with a matrix stored [in, out]. Everything that is no matrix of a
// hidden layer takes AdamW's step.
#include <algorithm>
#include <deque>

#include <moiety/names.h>
#include <moiety/plugin.h>
#include <moiety/adam.cuh>
#include "muon_passes.cuh"

namespace {

using namespace moiety;
using namespace muon;

struct Options {
  double lr = 1e-3, momentum = 0.95, weight_decay = 0.1, eps = 1e-7;
  bool nesterov = true;
  int64_t ns_steps = 5;
  std::string ns_dtype = "bf16", adjust_lr_fn = "original";
  std::vector<std::string> adamw_for = {"embedding.*", "head.*",          "output.*",
                                        "*.router.*",  "*.coefficient.*", "*.dense_gate.*"};
  double adamw_lr_scale = 1;
  std::vector<double> adamw_betas = {0.9, 0.95};
  double adamw_eps = 1e-8;
  static void describe(Schema<Options>& s) {
    s.field("lr", &Options::lr, "learning rate; a scheduler changes it").range(0, 10);
    s.field("momentum", &Options::momentum, "decay of the momentum").range(0, 0.9999999);
    s.field("nesterov", &Options::nesterov, "look ahead along the momentum");
    s.field("weight_decay", &Options::weight_decay, "decoupled: times the learning rate")
        .range(0, 10);
    s.field("ns_steps", &Options::ns_steps, "Newton-Schulz iterations").range(1, 20);
    s.field("ns_dtype", &Options::ns_dtype, "type of the matrices between their products")
        .one_of({"bf16", "f32"});
    s.field("eps", &Options::eps, "smallest norm that a matrix is divided by").range(1e-20, 1);
    s.field("adjust_lr_fn", &Options::adjust_lr_fn,
            "factor on the rate of a matrix; original: sqrt(max(1, out / in)); match_rms_adamw: "
            "0.2 sqrt(max(out, in)), so that AdamW's lr and weight_decay fit")
        .one_of({"original", "match_rms_adamw"});
    s.field("adamw_for", &Options::adamw_for,
            "glob patterns of matrices that take AdamW's step, as vectors do");
    s.field("adamw_lr_scale", &Options::adamw_lr_scale, "AdamW's rate over Muon's").range(0, 1000);
    s.field("adamw_betas", &Options::adamw_betas, "AdamW's decay of the mean and of the variance")
        .length(2)
        .range(0, 0.9999999);
    s.field("adamw_eps", &Options::adamw_eps, "AdamW's addition to the deviation").range(1e-20, 1);
  }
};

class Rest final : public MultiTensorOptimizer<AdamRule> {
 public:
  explicit Rest(const AdamRule& rule) : MultiTensorOptimizer(rule, {"mean", "variance"}) {}
};

class Muon final : public Optimizer {
 public:
  using Options = ::Options;
  Muon(const Options& o, const ModelDims&)
      : options_(o),
        rule_{o.momentum, o.weight_decay, o.eps, o.nesterov, o.adjust_lr_fn == "match_rms_adamw"},
        rest_(AdamRule{o.adamw_betas[0], o.adamw_betas[1], o.adamw_eps, o.weight_decay, true}) {}

  std::vector<StateSpec> state(const ParamInfo& info) const override {
    if (is_hidden_matrix(info)) return {{.name = "momentum"}};
    return rest_.state(info);
  }
  bool needs_whole_tensors() const override { return true; }
  const void* facet(std::string_view name) const override { return reads_weight_storage(name); }

  void bind(Exec& exec, std::span<const ParamSlice> slices) override {
    matrices_ = {};
    tensors_.clear();
    largest_ = {};
    std::vector<ParamSlice> others;
    for (const ParamSlice& p : slices) {
      if (is_hidden_matrix(p.info)) {
        add_tensor(exec, p);
        continue;
      }
      others.push_back(p);
      others.back().info.lr_scale *= static_cast<float>(options_.adamw_lr_scale);
    }
    matrices_.upload(exec);
    rest_.bind(exec, others);
  }

  void step(Exec& exec) const override {
    rest_.step(exec);
    if (tensors_.empty()) return;
    const bool round = options_.ns_dtype == "bf16";
    const Cell cell{round && exec.is_cuda() ? DType::kBF16 : DType::kF32, round};
    const Work work{rule_, exec.step(), matrices_.device(), matrices_.tiles(), cell};
    double* partial = scratch_doubles(exec, matrices_.tile_count());
    float* norm = exec.scratch(DType::kF32, {matrices_.size()}).data<float>();
    for_each_block(exec, matrices_.tile_count(), Momentum{work, partial});
    for_each_block(exec, matrices_.size(), SumTiles<1, Norm>{work.matrices, partial, {work, norm}});

    const auto memory = [&exec](DType dtype, int64_t n) { return exec.scratch(dtype, {n}).ptr; };
    const auto floats = [&](int64_t n) { return static_cast<float*>(memory(DType::kF32, n)); };
    const Buffers buffers{
        memory(cell.dtype, largest_.elements), memory(cell.dtype, largest_.squares),
        memory(cell.dtype, largest_.squares), floats(largest_.elements), floats(largest_.squares)};
    for (const Tensor& t : tensors_) {
      const Place place{t.first_matrix, t.first_tile, t.batch.n, t.batch.m, t.turned};
      for_each_block(exec, t.tiles, Spread{work, place, norm, buffers.x});
      orthogonalize(exec, t.batch, buffers, cell, options_.ns_steps);
      for_each_block(exec, t.tiles, Update{work, place, buffers.x});
    }
  }

 private:
  /// The matrices of one parameter, orthogonalized together.
  struct Tensor {
    Batch batch;
    int64_t first_matrix = 0, first_tile = 0, tiles = 0;
    bool turned = false;
    std::vector<int32_t> counts;  // of the segments, for the host
  };

  bool is_hidden_matrix(const ParamInfo& info) const {
    if (!matrix_shape(info.shape, info.first_expert >= 0).is_matrix()) return false;
    const auto& patterns = options_.adamw_for;
    return std::none_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
      return name_matches(pattern, info.name);
    });
  }

  void add_tensor(Exec& exec, const ParamSlice& p) {
    Tensor t;
    t.first_matrix = matrices_.size();
    t.first_tile = matrices_.tile_count();
    matrices_.add(p);
    t.tiles = matrices_.tile_count() - t.first_tile;
    t.batch.count = matrices_.size() - t.first_matrix;
    if (t.batch.count == 0) return;
    const ParamMatrix& m = matrices_.host().back();
    t.turned = m.rows > m.columns;
    t.batch.n = std::min(m.rows, m.columns);
    t.batch.m = std::max(m.rows, m.columns);
    t.counts.assign(static_cast<size_t>(t.batch.count), static_cast<int32_t>(t.batch.n));
    std::vector<int32_t> start;
    for (int64_t g = 0; g < t.batch.count; ++g) {
      start.push_back(static_cast<int32_t>(g * t.batch.n));
    }
    const auto view = [&](const std::vector<int32_t>& values) {
      auto* at = const_cast<int32_t*>(ParamMatrices::copy(exec, values));
      return view_of(at, DType::kI32, {t.batch.count}, exec.device());
    };
    t.batch.segments.start = view(start);
    t.batch.segments.count = view(t.counts);
    const int64_t rows = t.batch.count * t.batch.n;
    largest_.elements = std::max(largest_.elements, rows * t.batch.m);
    largest_.squares = std::max(largest_.squares, rows * t.batch.n);
    tensors_.push_back(std::move(t));
    tensors_.back().batch.segments.host_count = tensors_.back().counts.data();
  }

  Options options_;
  Rule rule_;
  Rest rest_;
  ParamMatrices matrices_;
  std::deque<Tensor> tensors_;  // addresses stay
  struct {
    int64_t elements = 0, squares = 0;
  } largest_;  // of a tensor's matrices, of their Gram matrices
};

}  // namespace

MOIETY_PLUGIN("muon", "1.0.0") {
  plugin.add<Muon>("muon", "orthogonal updates for matrices, AdamW for the rest");
}
