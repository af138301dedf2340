// Ranks: how a model is cut, and who starts the processes.
#include <string>

#include "core/config/import/flags.h"

namespace moiety::config {
namespace {

constexpr Arity kNone = Arity::kNone, kOne = Arity::kOne;

void zero_stage(const FlagContext& c) {
  const GivenFlag* flag = c.given.find("--zero-stage");
  if (c.out.find("zero_optimization.stage") != nullptr) {
    return c.out.drop(flag->text(), "zero_optimization of the ds_config rules");
  }
  c.out.set("zero_optimization.stage", c.given.value("--zero-stage"), flag->text());
}

constexpr const char* kOneRank = "about how ranks talk";
constexpr const char* kStart = "about starting processes";
constexpr const char* kRanks = "says how many ranks there are";
constexpr const char* kTensor = "needs tensor parallelism, which this version does not have";
constexpr const char* kPipeline = "needs pipeline parallelism, which this version does not have";
constexpr const char* kSequence = "needs sequence parallelism, which this version does not have";

const Flag kFlags[] = {
    only("--tensor-model-parallel-size", "1", kTensor),
    only("--pipeline-model-parallel-size", "1", kPipeline),
    only("--context-parallel-size", "1", kSequence),
    only("--ds-sequence-parallel-size", "1", kSequence),
    refused("--sequence-parallel", kNone, kSequence),
    refused("--model-parallel-size", kOne,
            "Megatron-DeepSpeed rejects it; its name is now --tensor-model-parallel-size"),
    nothing("--no-pipeline-parallel", kNone, "there is none"),
    nothing("--distributed-backend", kOne, kOneRank),
    nothing("--distributed-timeout-minutes", kOne, kOneRank),
    nothing("--DDP-impl", kOne, kOneRank),
    nothing("--local_rank", kOne, kStart),
    nothing("--local-rank", kOne, kStart),
    nothing("--use-distributed-optimizer", kNone, "ZeRO stage 1, which on one rank is the same"),
    nothing("--overlap-grad-reduce", kNone, kOneRank),
    nothing("--overlap-param-gather", kNone, kOneRank),
    nothing("--no-async-tensor-model-parallel-allreduce", kNone, kOneRank),
    nothing("--deepspeed", kNone, "what DeepSpeed does is what is done"),
    part("--zero-stage", kOne, zero_stage),
    refused("--remote-device", kOne, "needs optimizer offloading"),
    nothing("--universal-checkpoint", kNone, "here every checkpoint fits every layout"),
};

const Flag kLauncher[] = {
    nothing("--num_gpus", kOne, kRanks),       nothing("--num_nodes", kOne, kRanks),
    nothing("--nproc_per_node", kOne, kRanks), nothing("--nproc-per-node", kOne, kRanks),
    nothing("--nnodes", kOne, kRanks),         nothing("--hostfile", kOne, kStart),
    nothing("--include", kOne, kStart),        nothing("--exclude", kOne, kStart),
    nothing("--master_addr", kOne, kStart),    nothing("--master_port", kOne, kStart),
    nothing("--master-addr", kOne, kStart),    nothing("--master-port", kOne, kStart),
    nothing("--node_rank", kOne, kStart),      nothing("--node-rank", kOne, kStart),
    nothing("--launcher", kOne, kStart),       nothing("--rdzv_backend", kOne, kStart),
    nothing("--rdzv_endpoint", kOne, kStart),  nothing("--module", kNone, kStart),
    nothing("--no_python", kNone, kStart),     nothing("--no_local_rank", kNone, kStart),
    nothing("--force_multi", kNone, kStart),   nothing("--bind_cores_to_rank", kNone, kStart),
};

}  // namespace

std::span<const Flag> parallel_flags() { return kFlags; }
std::span<const Flag> launcher_flags() { return kLauncher; }

}  // namespace moiety::config
