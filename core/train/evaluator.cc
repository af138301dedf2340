#include "core/train/evaluator.h"

#include <algorithm>

#include "core/plugin/gate.h"

namespace moiety {

namespace {

BatchShape micro_batch_shape(const RunConfig& config) {
  BatchShape shape = train_shape(config);
  shape.micro_batches = 1;
  return shape;
}

}  // namespace

Evaluator::Evaluator(const Session& session, const RunConfig& config)
    : session_(session),
      layout_(micro_batch_shape(config), *session.data, config.model.vocab_size,
              end_of_document_token(*session.objective)),
      shape_(sums_shape(*session.model, *session.objective)),
      sums_(*session.context, shape_),
      host_(Buffer::pinned(layout_.bytes())),
      device_(session.context->device(), layout_.bytes()),
      row_map_(session.context->device(), sizeof(RowMap)),
      batches_(std::min(config.eval.batches,
                        session.data->size(Split::kValidation) / config.micro_batch_size)),
      dead_share_(config.monitor.dead_expert_share) {
  const RowMap map;
  session.context->copy(row_map_.data(), &map, sizeof map);
  session.context->synchronize();
}

std::optional<Evaluation> Evaluator::run(Exec& exec) const {
  if (batches_ < 1) return std::nullopt;
  const DeviceContext& context = *session_.context;
  const BatchShape& shape = layout_.shape();
  sums_.zero(context);
  // One divisor for all, known before the data: the sum is turned into a mean at the end.
  const auto divisor = static_cast<double>(shape.tokens() * batches_);
  double weight = 0;
  // Spread over the whole split, however few are read.
  const int64_t samples = shape.samples() * batches_;
  const auto sample_of = [&](int64_t n) {
    return n * session_.data->size(Split::kValidation) / samples;
  };
  const RowMap* train_rows = exec.impl().rows;
  for (int64_t b = 0; b < batches_; ++b) {
    for (int64_t i = 0; i < shape.samples(); ++i) {
      in_plugin("the data source", "fill", -1, [&] {
        session_.data->fill(Split::kValidation, sample_of(b * shape.samples() + i),
                            layout_.rows_of(host_.data(), i));
      });
    }
    layout_.finish(host_.data(), 0);
    weight += layout_.weight(host_.data(), 0);
    layout_.denominators(host_.data())[0] = static_cast<float>(divisor);
    context.copy(device_.data(), host_.data(), layout_.bytes());
    MicroBatch batch = layout_.view(device_.data(), 0, context.device());
    batch.rows = exec.impl().rows = static_cast<const RowMap*>(row_map_.data());
    const ArenaScope scope(*exec.impl().scratch);
    session_.model->evaluate(exec, batch, *session_.objective, sums_.sums());
    context.synchronize();  // the host buffer is filled again
  }
  exec.impl().rows = train_rows;
  std::vector<float> numbers(sums_.bytes() / sizeof(float));
  context.copy(numbers.data(), sums_.data(), sums_.bytes());
  context.synchronize();
  Evaluation result;
  result.numbers = read_sums(numbers.data(), shape_, batches_, dead_share_);
  result.rows = static_cast<int64_t>(weight);
  const double scale = static_cast<double>(static_cast<float>(divisor)) / std::max(weight, 1.0);
  result.loss = result.numbers.lm_loss * scale;
  result.images = layout_.view(host_.data(), 0, {}).image.raw() != nullptr;
  result.metrics = session_.objective->metrics();
  for (double& metric : result.numbers.metrics) metric *= scale;
  return result;
}

}  // namespace moiety
