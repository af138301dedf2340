// DeepSpeed's keys that this version does not act on: accepted where they change nothing here,
// refused by the name of what they need otherwise. No key is ignored.
#include "core/config/keys.h"

namespace moiety::config {
namespace {

void declare_accepted(Keys& keys) {
  const std::string travel = "about how gradients and weights travel between ranks";
  for (const char* name :
       {"contiguous_gradients", "reduce_scatter", "allgather_partitions", "overlap_comm",
        "use_multi_rank_bucket_allreduce", "round_robin_gradients", "ignore_unused_parameters"}) {
    keys.accepted(std::string("zero_optimization.") + name, false, travel);
  }
  for (const char* name : {"reduce_bucket_size", "allgather_bucket_size", "sub_group_size"}) {
    keys.accepted(std::string("zero_optimization.") + name, int64_t{0}, travel);
  }
  const std::string loads = "checkpoints always hold the float32 weights";
  keys.accepted("zero_optimization.load_from_fp32_weights", true, loads);
  const std::string stage3 = "read at ZeRO stage 3 alone";
  for (const char* name : {"stage3_max_live_parameters", "stage3_max_reuse_distance",
                           "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"}) {
    keys.accepted(std::string("zero_optimization.") + name, int64_t{0}, stage3);
  }
  keys.accepted("zero_optimization.stage3_gather_16bit_weights_on_model_save", false, stage3);
  keys.accepted("prescale_gradients", false,
                "orders the division by the number of ranks; on one rank there is none");
  keys.accepted("gradient_predivide_factor", 1.0,
                "orders the division by the number of ranks; on one rank there is none");
  keys.accepted("sparse_gradients", false, travel);
  keys.accepted("communication_data_type", std::string(), travel);
  keys.accepted("seq_parallel_communication_data_type", std::string(), travel);
  keys.accepted("use_data_before_expert_parallelism", false, "orders the ranks of a larger run");
  keys.accepted("zero_allow_untested_optimizer", false, "a permission that is not needed here");
  keys.accepted("zero_force_ds_cpu_optimizer", true, "concerns offloading, which is refused");
  keys.accepted("dataloader_drop_last", false,
                "batches run across the end of an epoch, so none is partial");
  keys.accepted("checkpoint.tag_validation", std::string("Warn"),
                "compares the names that ranks give a checkpoint; here they cannot differ");
}

void declare_refused_switches(Keys& keys) {
  keys.later("zero_optimization.elastic_checkpoint", "needs DeepSpeed's elastic checkpoints");
  keys.later("zero_optimization.cpu_offload", "needs optimizer offloading");
  keys.later("zero_optimization.offload_optimizer", "needs optimizer offloading");
  keys.later("zero_optimization.offload_param", "needs parameter offloading");
  keys.later("fp16.auto_cast", "needs casting of the model's inputs");
  keys.later("fp16.fp16_master_weights_and_grads", "needs float16 master weights");
  keys.later("bf16.immediate_grad_update", "needs gradients that are reduced during backward");
  keys.later("bf16.bf16_master_weights_and_grads", "needs bfloat16 master weights");
  keys.later("bf16.bf16_optimizer_states", "needs bfloat16 optimizer states");
  keys.later("managed_gradient_accumulation", "needs a caller that ends the step itself", {"true"});
  keys.later("gradient_allreduce_op", "needs another reduction than the mean", {"mean"});
  keys.later("wall_clock_breakdown", "needs timers of every step; run.profile: N times N steps");
  keys.later("memory_breakdown", "needs a memory report of every step");
  keys.later("dump_state", "needs dumps of the engine's state");
  keys.later("checkpoint.load_universal",
             "needs universal checkpoints; here every checkpoint fits every layout");
  keys.later("checkpoint.use_node_local_storage", "needs checkpoints on node-local disks");
  keys.later("checkpoint.parallel_write", "needs checkpoints written by several ranks");
  const std::string section = "activation_checkpointing.";
  keys.later(section + "partition_activations", "needs activations spread over ranks");
  keys.later(section + "number_checkpoints",
             "needs checkpoints of several layers; policy: full keeps each layer's input");
  keys.later(section + "contiguous_memory_optimization",
             "needs a buffer for checkpoints; they always lie in one piece of memory", {"true"});
  keys.later(section + "cpu_checkpointing", "needs activation offloading");
  keys.later(section + "synchronize_checkpoint_boundary", "needs a wait at every layer");
  keys.later(section + "profile", "needs timers of every layer; run.profile: N times N steps");
}

void declare_refused_features(Keys& keys) {
  keys.later("tensorboard", "needs tensorboard monitoring");
  keys.later("csv_monitor",
             "needs CSV monitoring; metrics.jsonl of the run directory has the same numbers");
  keys.later("wandb", "needs Weights & Biases monitoring");
  keys.later("comet", "needs Comet monitoring");
  keys.later("flops_profiler", "needs the FLOPs profiler");
  keys.later("comms_logger", "needs the communication logger");
  keys.later("amp", "needs NVIDIA Apex AMP; use fp16 or bf16");
  keys.later("curriculum_learning", "needs curriculum learning");
  keys.later("data_efficiency", "needs DeepSpeed's data efficiency library");
  keys.later("elasticity", "needs elastic training");
  keys.later("autotuning", "needs autotuning");
  keys.later("compression_training", "needs compression");
  keys.later("progressive_layer_drop", "needs progressive layer dropping");
  keys.later("eigenvalue", "needs eigenvalue estimates");
  keys.later("quantize_training", "needs quantized training");
  keys.later("sparse_attention", "needs sparse attention");
  keys.later("aio", "needs asynchronous disk transfers");
  keys.later("nebula", "needs the Nebula checkpoint service");
  keys.later("hybrid_engine", "needs the hybrid engine");
  keys.later("pipeline", "needs pipeline parallelism");
  keys.later("tensor_parallel", "needs tensor parallelism");
  keys.later("expert_parallel", "needs AutoEP; the moe section describes MoE layers here");
}

}  // namespace

void declare_deepspeed_keys(Keys& keys) {
  declare_accepted(keys);
  declare_refused_switches(keys);
  declare_refused_features(keys);
}

}  // namespace moiety::config
