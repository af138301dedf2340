// Experts with noise of their own (y = u x W, u drawn by token): one knows received rows by their
// row_id, the other takes them for this call's tokens.
#include <moiety/ops.h>
#include <moiety/plugin.h>
#include <moiety/rows.cuh>

namespace {

using namespace moiety;

struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

struct Draw {
  Rng random;
  const int32_t* row;
  float* factor;
  MOIETY_HD void operator()(int64_t n) const {
    factor[n] = row[n] >= 0 ? 0.5f + random.uniform(row[n], 0) : 0.f;
  }
};

template <bool by_row_id>
class Noisy final : public ExpertType {
 public:
  using Options = NoOptions;
  static constexpr Traits kTraits{.cuda = false};

  Noisy(const Options&, const ModelDims& dims) : dims_(dims) {}

  void declare(Declarations& to) const override {
    ParamSpec spec;
    spec.name = "w";
    spec.shape = {dims_.local_experts, dims_.model, dims_.model};
    spec.fan_in = dims_.model;
    to.parameter(spec);
  }
  double flops_per_token() const override {
    return 2.0 * static_cast<double>(dims_.model * dims_.model);
  }

  void forward(Exec& exec, const ExpertBatch& batch, const Params& params, TensorView y,
               Saved& saved) const override {
    const TensorView factor = saved.keep("factor", DType::kF32, {y.dim(0)});
    const TensorView x = saved.keep("x", y.dtype, {y.dim(0), y.dim(1)});
    const Rng random = exec.rng("noise", by_row_id ? batch.row_id : ConstTensorView{});
    for_each_row(exec, y.dim(0), Draw{random, batch.row.data<int32_t>(), factor.data<float>()});
    ops::gather_rows(exec, batch, batch.x, x);
    ops::scale_rows(exec, weighted(batch, factor), x);
    ops::grouped_gemm(exec, batch, x, params["w"].value(), y);
  }

  void backward(Exec& exec, const ExpertBatch& batch, const Params& params, const Saved& saved,
                ConstTensorView dout, TensorView dx, TensorView dweight) const override {
    const TensorView dy = exec.scratch(dx.dtype, {dx.dim(0), dx.dim(1)});
    ops::gather_rows(exec, batch, dout, dy);
    ops::grouped_gemm(exec, batch, dy, params["w"].value(), dx, ops::Transpose::kYes);
    if (dweight) ops::row_dot(exec, batch, dx, saved["x"], dweight);
    ops::scale_rows(exec, weighted(batch, saved["factor"]), dx);
    if (batch.weight) {
      ops::scale_rows(exec, batch, dx);
      ops::scale_rows(exec, batch, dy);
    }
    ops::grouped_gemm_grad(exec, batch, saved["x"], dy, params["w"]);
  }

 private:
  static ExpertBatch weighted(const ExpertBatch& batch, ConstTensorView factor) {
    ExpertBatch b = batch;
    b.weight = factor;
    return b;
  }

  ModelDims dims_;
};

}  // namespace

MOIETY_PLUGIN("noisy", "1.0.0") {
  plugin.add<Noisy<true>>("noisy", "noise by the token, wherever it lies");
  plugin.add<Noisy<false>>("noisy_by_local_row", "noise by the place of a received row");
}
