// Next-token prediction: mean softmax cross-entropy over the rows with a target.
#include <moiety/objective.h>
#include <moiety/objective_ops.h>
#include <moiety/plugin.h>
#include <moiety/teacher.h>

namespace {

using namespace moiety;

class CausalLm final : public Objective {
 public:
  struct Options {
    double label_smoothing = 0;
    int64_t end_of_document_token = -1;
    static void describe(Schema<Options>& s) {
      s.field("label_smoothing", &Options::label_smoothing,
              "share of the target that is spread evenly over the vocabulary; 0 = none")
          .range(0, 0.9);
      s.field("end_of_document_token", &Options::end_of_document_token,
              "rows whose input is this token have no loss: what follows belongs to another "
              "document; -1 = none")
          .range(-1, (int64_t{1} << 31) - 2);
    }
  };
  CausalLm(const Options& options, const ModelDims& dims) : options_(options) {
    if (dims.vocab > 0 && options.end_of_document_token >= dims.vocab) {
      throw ConfigError("end_of_document_token " + std::to_string(options.end_of_document_token) +
                        " is not below the vocabulary " + std::to_string(dims.vocab));
    }
  }

  const void* facet(std::string_view name) const override {
    return name == kEndOfDocumentFacet ? &options_.end_of_document_token : nullptr;
  }

  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView) const override {
    ops::smoothed_cross_entropy(exec, in, options_.label_smoothing, row_loss, grad);
  }

 private:
  Options options_;
};

}  // namespace

MOIETY_PLUGIN("causal_lm", "1.1.0") {
  plugin.add<CausalLm>("causal_lm", "cross-entropy of the next token");
}
