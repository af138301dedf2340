// One label a row: mean softmax cross-entropy over the labelled rows, and the share that is right.
#include <moiety/objective.h>
#include <moiety/objective_ops.h>
#include <moiety/plugin.h>
#include <moiety/rows.cuh>

namespace {

using namespace moiety;

template <class T>
struct IsRight {  // the likeliest class, the lowest in a tie, is the label
  Rows<const T> logits;
  const int32_t* label;
  float* right;
  int64_t classes;
  MOIETY_HD void operator()(int64_t row) const {
    const T* x = logits[row];
    int64_t best = 0;
    for (int64_t c = 1; c < classes; ++c) {
      if (static_cast<float>(x[c]) > static_cast<float>(x[best])) best = c;
    }
    right[row] = label[row] == best ? 1.0f : 0.0f;
  }
};

class Classification final : public Objective {
 public:
  struct Options {
    double label_smoothing = 0;
    static void describe(Schema<Options>& s) {
      s.field("label_smoothing", &Options::label_smoothing,
              "share of the target that is spread evenly over the classes; 0 = none")
          .range(0, 0.9);
    }
  };
  Classification(const Options& options, const ModelDims&) : options_(options) {}

  std::vector<std::string> metrics() const override { return {"accuracy"}; }

  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView metrics) const override {
    const TensorView right = exec.scratch(DType::kF32, {in.logits.dim(0)});
    switch (in.logits.dtype) {  // before the gradient takes the logits' place
      case DType::kF32: find_right<float>(exec, in, right); break;
      case DType::kBF16: find_right<BFloat16>(exec, in, right); break;
      case DType::kF16: find_right<Float16>(exec, in, right); break;
      default:
        throw Error(std::string("classification: logits of ") + name_of(in.logits.dtype) +
                    " are not supported");
    }
    ops::add_row_mean(exec, in, right, metrics);
    ops::smoothed_cross_entropy(exec, in, options_.label_smoothing, row_loss, grad);
  }

 private:
  template <class T>
  static void find_right(Exec& exec, const ObjectiveInputs& in, TensorView right) {
    for_each_row(exec, in.logits.dim(0),
                 IsRight<T>{in.logits.rows<T>(), in.targets.data<int32_t>(), right.data<float>(),
                            in.logits.dim(1)});
  }
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("classification", "1.0.0") {
  plugin.add<Classification>("classification", "cross-entropy of one label a sample; accuracy");
}
