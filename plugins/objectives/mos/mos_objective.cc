// Mixture-of-Students (Rajbhandari et al., 2022, section 4.2): the student learns from the labels
// and from a teacher's distribution, until `stop_step`.
#include <moiety/objective.h>
#include <moiety/objective_ops.h>
#include <moiety/plugin.h>
#include <moiety/teacher.h>

#ifndef MOS_NAME
#define MOS_NAME "mos"
#endif

namespace {

using namespace moiety;

class Mos final : public Objective {
 public:
  struct Options {
    std::string teacher, teacher_config, teacher_mode = "eval";
    double beta = 1, temperature = 1, alpha = 1;
    int64_t stop_step = 0;
    double label_smoothing = 0;
    int64_t end_of_document_token = -1;
    static void describe(Schema<Options>& s) {
      s.field("teacher", &Options::teacher,
              "run directory or checkpoint of the teacher, relative to the current directory; any "
              "model with the student's vocabulary")
          .example(std::string("runs/teacher"));
      s.field("teacher_config", &Options::teacher_config,
              "YAML file of the teacher's model, for a checkpoint that holds none (an imported "
              "one); empty = the checkpoint's own");
      s.field("teacher_mode", &Options::teacher_mode,
              "eval: no dropout, the evaluation's capacity; train: both as in training, which is "
              "what Megatron-DeepSpeed does")
          .one_of({"eval", "train"});
      s.field("beta", &Options::beta, "weight of the divergence; 0 = no teacher").range(0, 1e4);
      s.field("temperature", &Options::temperature,
              "both logits are divided by it before the softmax")
          .range(0.1, 100);
      s.field("alpha", &Options::alpha,
              "weight of the cross-entropy; Megatron-DeepSpeed reads --kd-alpha-ce and uses 1")
          .range(0, 1e4);
      s.field("stop_step", &Options::stop_step,
              "train batches that learn from the teacher; from then on its forward is skipped and "
              "its memory given back; 0 = all")
          .range(0, 1e15);
      s.field("label_smoothing", &Options::label_smoothing,
              "of the cross-entropy: share of the target that is spread evenly; 0 = none")
          .range(0, 0.9);
      s.field("end_of_document_token", &Options::end_of_document_token,
              "rows whose input is this token have no loss; -1 = none")
          .range(-1, (int64_t{1} << 31) - 2);
    }
  };
  Mos(const Options& o, const ModelDims& dims)
      : options_(o),
        form_{o.alpha, o.beta, o.temperature, o.label_smoothing},
        request_{o.teacher, o.teacher_config, o.teacher_mode == "train"} {
    if (dims.vocab > 0 && o.end_of_document_token >= dims.vocab) {
      throw ConfigError("end_of_document_token " + std::to_string(o.end_of_document_token) +
                        " is not below the vocabulary " + std::to_string(dims.vocab));
    }
  }

  bool wants_teacher(int64_t batch) const override {
    return options_.beta > 0 && (options_.stop_step == 0 || batch < options_.stop_step);
  }
  const void* facet(std::string_view name) const override {
    if (name == kTeacherFacet) return &request_;
    return name == kEndOfDocumentFacet ? &options_.end_of_document_token : nullptr;
  }
  std::vector<std::string> metrics() const override { return {"cross_entropy", "distillation"}; }

  void evaluate(Exec& exec, const ObjectiveInputs& in, TensorView row_loss, TensorView grad,
                TensorView metrics) const override {
    if (!in.teacher_logits) {  // an evaluation, or the teacher's time is over
      ops::smoothed_cross_entropy(exec, in, options_.label_smoothing, row_loss, grad);
      return ops::add_row_mean(exec, in, row_loss, metrics.slice(0, 0, 1));
    }
    const int64_t R = in.logits.dim(0);
    const ops::DistillationRows rows{row_loss, exec.scratch(DType::kF32, {R}),
                                     exec.scratch(DType::kF32, {R})};
    ops::distillation(exec, in, form_, rows, grad);
    ops::add_row_mean(exec, in, rows.cross_entropy, metrics.slice(0, 0, 1));
    ops::add_row_mean(exec, in, rows.divergence, metrics.slice(0, 1, 1));
  }

 private:
  Options options_;
  ops::DistillationForm form_;
  TeacherRequest request_;
};

}  // namespace

MOIETY_PLUGIN(MOS_NAME, "1.0.0") {
  plugin.add<Mos>(MOS_NAME, "next token, and the distribution of a teacher (Mixture-of-Students)");
}
