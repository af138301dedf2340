// Experts (y = x W) that are wrong in one way each; see wrong_gating.cc.
#include <algorithm>
#include <random>

#include <moiety/ops.h>
#include <moiety/plugin.h>

namespace {

using namespace moiety;

enum class Bug {
  kLayerShape,
  kRepeatable,
  kWritten,
  kBounds,
  kInFlight,
  kSegments,
  kReceived,
  kOptional,
  kGradient,
  kGradMode,
  kDtypes,
  kComputeGradient,
  kErrors,
  kEdges
};

struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

template <Bug bug>
class Linear final : public ExpertType {
 public:
  using Options = NoOptions;
  static constexpr Traits kTraits{.cuda = false};

  Linear(const Options&, const ModelDims& dims) : dims_(dims) {}

  void declare(Declarations& to) const override {
    ParamSpec spec;
    spec.name = "w";
    spec.shape = {dims_.local_experts, dims_.model, dims_.model};
    spec.fan_in = dims_.model;
    to.parameter(spec);
    if (bug == Bug::kComputeGradient) to.compute_gradient("w");
  }
  double flops_per_token() const override {
    return 2.0 * static_cast<double>(dims_.model * dims_.model);
  }
  LayerShape layer_shape(int64_t, int64_t, const LayerShape& requested) const override {
    LayerShape shape = requested;
    if (bug == Bug::kLayerShape) shape.experts = 0;
    return shape;
  }

  void forward(Exec& exec, const ExpertBatch& batch, const Params& params, TensorView y,
               Saved& saved) const override {
    if (bug == Bug::kEdges && dims_.experts == 1) throw Error("one expert is no mixture");
    const ExpertBatch b = seen(exec, batch);
    const TensorView x = saved.keep("x", y.dtype, {y.dim(0), y.dim(1)});
    ConstTensorView from = b.x;
    if (bug == Bug::kErrors) {
      from = view_of(const_cast<void*>(from.raw()), y.dtype, {from.dim(0), from.dim(1)});
    }
    ops::gather_rows(exec, b, from, x);
    ops::grouped_gemm(exec, b, x, params["w"].value(), y);
    if (bug == Bug::kRepeatable) {
      const int32_t first = b.start.template data<int32_t>()[0];
      y.data<float>()[first * y.dim(1)] += std::uniform_real_distribution<float>()(own_);
    }
    if (bug == Bug::kDtypes && y.dtype != DType::kF32) ops::fill(exec, y, 0);
    last_ = x;
  }

  void backward(Exec& exec, const ExpertBatch& batch, const Params& params, const Saved& saved,
                ConstTensorView dout, TensorView dx, TensorView dweight) const override {
    const ExpertBatch b = seen(exec, batch);
    const ConstTensorView x = bug == Bug::kInFlight ? last_ : saved["x"];
    const TensorView dy = exec.scratch(dx.dtype, {dx.dim(0), dx.dim(1)});
    ops::gather_rows(exec, b, dout, dy);
    ops::grouped_gemm(exec, b, dy, params["w"].value(), dx, ops::Transpose::kYes);
    if (dweight) weigh(exec, b, dx, x, dweight);
    if (b.weight) {
      if (bug != Bug::kGradient) ops::scale_rows(exec, b, dx);  // else forgets the weight
      ops::scale_rows(exec, b, dy);
    } else if (bug == Bug::kOptional) {
      ops::fill(exec, dx, 0);  // as if no weight were a weight of 0
    }
    const TensorView grad = params["w"].grad();
    if (bug == Bug::kGradMode) ops::fill(exec, grad, 0);  // = where it should be +=
    ops::grouped_gemm_grad(exec, b, x, dy, params["w"]);
    if (bug == Bug::kComputeGradient && grad.dtype != DType::kF32) ops::fill(exec, grad, 0);
  }

 private:
  ExpertBatch seen(Exec& exec, const ExpertBatch& batch) const {
    ExpertBatch b = batch;
    const int64_t G = b.start.dim(0);
    if (bug == Bug::kSegments) {  // takes segments to lie without gaps
      const TensorView start = exec.scratch(DType::kI32, {G});
      int32_t next = 0;
      for (int64_t g = 0; g < G; ++g) {
        start.data<int32_t>()[g] = next;
        next += b.count.template data<int32_t>()[g];
      }
      b.start = start;
    }
    if (bug == Bug::kReceived) {  // takes the first L segments to be all
      b.start = b.start.slice(0, 0, std::min(G, dims_.local_experts));
      b.count = b.count.slice(0, 0, std::min(G, dims_.local_experts));
    }
    return b;
  }

  void weigh(Exec& exec, const ExpertBatch& b, ConstTensorView dx, ConstTensorView x,
             TensorView dweight) const {
    const int64_t N = dweight.dim(0);
    if (bug != Bug::kWritten) {
      ops::row_dot(exec, b, dx, x, dweight);
    } else {  // all segments but the last slot of the first one
      ExpertBatch cut = b;
      const TensorView count = exec.scratch(DType::kI32, {b.count.dim(0)});
      std::copy_n(b.count.template data<int32_t>(), b.count.dim(0), count.data<int32_t>());
      count.data<int32_t>()[0] = std::max(0, count.data<int32_t>()[0] - 1);
      cut.count = count;
      ops::row_dot(exec, cut, dx, x, dweight);
    }
    if (bug == Bug::kBounds) dweight.data<float>()[N] = 0;
  }

  ModelDims dims_;
  mutable ConstTensorView last_;
  mutable std::mt19937 own_;
};

}  // namespace

MOIETY_PLUGIN("wrong", "1.0.0") {
  plugin.add<Linear<Bug::kLayerShape>>("wrong_layer_shape", "asks for a layer without experts");
  plugin.add<Linear<Bug::kRepeatable>>("wrong_repeatable", "draws from a generator of its own");
  plugin.add<Linear<Bug::kWritten>>("wrong_written", "leaves one slot's dweight unwritten");
  plugin.add<Linear<Bug::kBounds>>("wrong_bounds", "writes one dweight too many");
  plugin.add<Linear<Bug::kInFlight>>("wrong_in_flight", "keeps the last call in a member");
  plugin.add<Linear<Bug::kSegments>>("wrong_segments", "takes segments to lie without gaps");
  plugin.add<Linear<Bug::kReceived>>("wrong_received", "sees one segment an expert only");
  plugin.add<Linear<Bug::kOptional>>("wrong_optional", "takes a missing weight for 0");
  plugin.add<Linear<Bug::kGradient>>("wrong_gradient", "forgets the combine weight in dx");
  plugin.add<Linear<Bug::kGradMode>>("wrong_grad_mode", "overwrites where it should add");
  plugin.add<Linear<Bug::kDtypes>>("wrong_dtypes", "gives zeros in half precision");
  plugin.add<Linear<Bug::kComputeGradient>>("wrong_compute_gradient",
                                            "promises a gradient that it does not write");
  plugin.add<Linear<Bug::kErrors>>("wrong_errors", "takes any dtype for the one it knows");
  plugin.add<Linear<Bug::kEdges>>("wrong_edges", "fails with one expert");
}
