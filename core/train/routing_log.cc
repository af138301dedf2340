#include "core/train/routing_log.h"

#include <fmt/format.h>

#include <moiety/error.h>

namespace moiety {

namespace fs = std::filesystem;

RoutingLog::RoutingLog(const RouterConfig& config, DeviceContext& context)
    : config_(config), context_(context) {
  if (!config.replay.empty()) {
    if (!fs::exists(config.replay)) {
      throw ConfigError(fmt::format("moe.router.replay: no file '{}'", config.replay.string()));
    }
    replay_.emplace(config.replay, h5::File::Mode::kRead);
  }
  if (config.record.empty()) return;
  if (fs::exists(config.record)) {
    throw ConfigError(
        fmt::format("moe.router.record: '{}' exists already; name another file or remove it",
                    config.record.string()));
  }
  if (config.record.has_parent_path()) fs::create_directories(config.record.parent_path());
  record_.emplace(config.record, h5::File::Mode::kCreate);
}

RoutingLog::~RoutingLog() = default;

void RoutingLog::begin_step(int64_t step) {
  if (first_step_ == 0) first_step_ = step;
  step_ = step;
  micro_batches_.clear();
  if (record_) record_->sync();  // a run that is killed leaves the steps before
}

void RoutingLog::on_plan(Exec&, int64_t layer, const RoutingPlan& plan) {
  const std::string group =
      fmt::format("step_{:08}/micro_{:03}/layer_{:03}", step_, micro_batches_[layer]++, layer);
  if (replay_) read(group, plan);
  const bool wanted = config_.record_steps == 0 || step_ < first_step_ + config_.record_steps;
  if (record_ && wanted) write(group, plan);
}

void RoutingLog::write(const std::string& group, const RoutingPlan& plan) {
  save(group + "/index", plan.index);
  save(group + "/weight", plan.weight);
  if (plan.position) save(group + "/position", plan.position);
}

void RoutingLog::save(const std::string& dataset, const TensorView& tensor) {
  std::vector<uint8_t> bytes(static_cast<size_t>(tensor.numel() * size_of(tensor.dtype)));
  context_.copy(bytes.data(), tensor.ptr, bytes.size());
  context_.synchronize();
  record_->write(dataset, tensor.dtype, {tensor.dim(0), tensor.dim(1)}, bytes.data());
}

void RoutingLog::read(const std::string& group, const RoutingPlan& plan) const {
  if (!replay_->exists(group)) {
    const std::vector<std::string> steps = replay_->children("");
    throw Error(
        fmt::format("{}: no {}; it has {} steps, {} to {}: end the run there with run.steps",
                    replay_->path().string(), group, steps.size(),
                    steps.empty() ? "none" : steps.front(), steps.empty() ? "none" : steps.back()));
  }
  load(group + "/index", plan.index);
  load(group + "/weight", plan.weight);
  if (plan.position) load(group + "/position", plan.position);
}

void RoutingLog::load(const std::string& dataset, const TensorView& tensor) const {
  const h5::DatasetInfo info = replay_->info(dataset);
  if (info.shape != std::vector<int64_t>{tensor.dim(0), tensor.dim(1)}) {
    throw Error(
        fmt::format("{}: {} has the shape {} x {}, this run routes {} x {}; a replay needs "
                    "the batch, sequence length and gate of the recording",
                    replay_->path().string(), dataset, info.shape.at(0), info.shape.at(1),
                    tensor.dim(0), tensor.dim(1)));
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(tensor.numel() * size_of(tensor.dtype)));
  replay_->read(dataset, tensor.dtype, bytes.data(), tensor.numel());
  context_.copy(tensor.ptr, bytes.data(), bytes.size());
  context_.synchronize();
}

}  // namespace moiety
