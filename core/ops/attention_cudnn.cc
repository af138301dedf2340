// cuDNN's fused attention through cudnn-frontend. The only file that includes the frontend: it
// costs more to compile than all the rest of the ops.
#include "core/ops/attention_cudnn.h"

#include <cudnn_frontend.h>

#include <compare>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/device/context_impl.h"
#include "core/device/exec_impl.h"

namespace moiety::ops::cuda {

namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Name : int64_t { kQuery = 1, kKey, kValue, kOut, kLogSum, kDOut, kDQuery, kDKey, kDValue };

/// Everything that a plan is built for. Pitches: elements from one token to the next.
struct PlanKey {
  int64_t batch, sequence, heads, kv_heads, head_dim, value_dim;
  double scale;
  DType dtype;
  int64_t qkv_pitch, out_pitch, dout_pitch, dqkv_pitch;  // the last two 0: forward
  bool deterministic;
  auto operator<=>(const PlanKey&) const = default;
};

struct Plan {
  fe::graph::Graph graph;
  int64_t workspace = 0;  // bytes
};

void check(cudnnStatus_t status, const char* what) {
  MOIETY_CHECK(status == CUDNN_STATUS_SUCCESS, "attention: {}: {}", what,
               cudnnGetErrorString(status));
}

/// One a device, attached to its context: the handle, and a plan for each key. No plan: cuDNN has
/// none, which is found out once.
class Plans {
 public:
  Plans() { check(cudnnCreate(&handle_), "cudnnCreate"); }
  ~Plans() { cudnnDestroy(handle_); }
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;

  cudnnHandle_t handle(void* stream) {
    if (stream != stream_) {
      check(cudnnSetStream(handle_, static_cast<cudaStream_t>(stream)), "cudnnSetStream");
      stream_ = stream;
    }
    return handle_;
  }

  template <class Describe>
  Plan* find(const DeviceContext::Impl& context, const PlanKey& key, const Describe& describe) {
    const auto known = plans_.find(key);
    if (known != plans_.end()) return known->second.get();
    MOIETY_CHECK(
        !context.capturing(),
        "attention: cuDNN's plan for batch {}, sequence {} is to be built while a graph is "
        "captured; run the same work once before the capture",
        key.batch, key.sequence);
    auto plan = std::make_unique<Plan>();
    plan->graph.set_io_data_type(key.dtype == DType::kBF16 ? fe::DataType_t::BFLOAT16
                                                           : fe::DataType_t::HALF);
    plan->graph.set_intermediate_data_type(fe::DataType_t::FLOAT);
    plan->graph.set_compute_data_type(fe::DataType_t::FLOAT);
    describe(plan->graph);
    fe::error_t result = plan->graph.build(handle(context.stream()), {fe::HeurMode_t::A});
    if (result.is_good()) result = plan->graph.get_workspace_size(plan->workspace);
    if (result.is_bad()) {
      log::debug(
          fmt::format("attention: cuDNN does not take heads {} and {} of {} and {}, sequence {} "
                      "({}): own kernels",
                      key.heads, key.kv_heads, key.head_dim, key.value_dim, key.sequence,
                      result.get_message()));
      plan = nullptr;
    }
    return plans_.emplace(key, std::move(plan)).first->second.get();
  }

 private:
  cudnnHandle_t handle_ = nullptr;
  void* stream_ = nullptr;
  std::map<PlanKey, std::unique_ptr<Plan>> plans_;
};

/// Heads side by side in rows of `pitch` elements, as [batch, heads, sequence, width].
struct Heads {
  int64_t heads, width, pitch;
  void place(const PlanKey& key, fe::graph::Tensor_attributes& tensor, Name name) const {
    tensor.set_uid(name)
        .set_dim({key.batch, heads, key.sequence, width})
        .set_stride({key.sequence * pitch, width, pitch, 1});
  }
  Tensor input(const PlanKey& key, fe::graph::Graph& graph, Name name) const {
    fe::graph::Tensor_attributes tensor;
    place(key, tensor, name);
    return graph.tensor(tensor);
  }
  void output(const PlanKey& key, const Tensor& tensor, Name name) const {
    place(key, tensor->set_output(true), name);
  }
};

void place_log_sum(const PlanKey& key, fe::graph::Tensor_attributes& tensor) {
  tensor.set_uid(kLogSum)
      .set_data_type(fe::DataType_t::FLOAT)
      .set_dim({key.batch, key.heads, key.sequence, 1})
      .set_stride({key.heads * key.sequence, key.sequence, 1, 1});
}

struct Inputs {
  Tensor query, key, value;
  Inputs(const PlanKey& k, fe::graph::Graph& graph)
      : query(Heads{k.heads, k.head_dim, k.qkv_pitch}.input(k, graph, kQuery)),
        key(Heads{k.kv_heads, k.head_dim, k.qkv_pitch}.input(k, graph, kKey)),
        value(Heads{k.kv_heads, k.value_dim, k.qkv_pitch}.input(k, graph, kValue)) {}
};

void describe_forward(const PlanKey& k, fe::graph::Graph& graph) {
  const Inputs in(k, graph);
  auto options = fe::graph::SDPA_attributes()
                     .set_name("attention")
                     .set_generate_stats(true)
                     .set_attn_scale(static_cast<float>(k.scale))
                     .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
                     .set_diagonal_band_right_bound(0);
  const auto [out, log_sum] = graph.sdpa(in.query, in.key, in.value, options);
  Heads{k.heads, k.value_dim, k.out_pitch}.output(k, out, kOut);
  place_log_sum(k, log_sum->set_output(true));
}

void describe_backward(const PlanKey& k, fe::graph::Graph& graph) {
  const Inputs in(k, graph);
  const Tensor out = Heads{k.heads, k.value_dim, k.out_pitch}.input(k, graph, kOut);
  const Tensor dout = Heads{k.heads, k.value_dim, k.dout_pitch}.input(k, graph, kDOut);
  fe::graph::Tensor_attributes log_sum;
  place_log_sum(k, log_sum);
  auto options = fe::graph::SDPA_backward_attributes()
                     .set_name("attention_backward")
                     .set_attn_scale(static_cast<float>(k.scale))
                     .set_deterministic_algorithm(k.deterministic)
                     .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
                     .set_diagonal_band_right_bound(0);
  const auto [dquery, dkey, dvalue] =
      graph.sdpa_backward(in.query, in.key, in.value, out, dout, graph.tensor(log_sum), options);
  Heads{k.heads, k.head_dim, k.dqkv_pitch}.output(k, dquery, kDQuery);
  Heads{k.kv_heads, k.head_dim, k.dqkv_pitch}.output(k, dkey, kDKey);
  Heads{k.kv_heads, k.value_dim, k.dqkv_pitch}.output(k, dvalue, kDValue);
}

PlanKey key_of(const AttentionShape& s, ConstTensorView qkv, ConstTensorView out) {
  return {s.batch,   s.sequence,    s.heads,       s.kv_heads, s.head_dim, s.values(), s.scale,
          qkv.dtype, qkv.stride[0], out.stride[0], 0,          0,          false};
}

using Pointers = std::unordered_map<int64_t, void*>;

/// Adds q, k and v of a row-major [T, qkv_width] under three names in a row.
void add_parts(const AttentionShape& s, const void* qkv, DType dtype, Name first, Pointers& to) {
  auto* bytes = static_cast<std::byte*>(const_cast<void*>(qkv));  // the frontend takes no const
  to[first] = bytes;
  to[first + 1] = bytes + s.key_column(0) * size_of(dtype);
  to[first + 2] = bytes + s.value_column(0) * size_of(dtype);
}

void execute(Exec& exec, Plans& plans, Plan& plan, Pointers& pointers) {
  void* workspace = exec.scratch(DType::kU8, {plan.workspace}).ptr;
  fe::error_t result = plan.graph.execute(plans.handle(exec.stream()), pointers, workspace);
  MOIETY_CHECK(result.is_good(), "attention: cuDNN: {}", result.get_message());
}

}  // namespace

bool built_with_cudnn() { return true; }

bool cudnn_attention(Exec& exec, const AttentionShape& shape, ConstTensorView qkv, TensorView out,
                     TensorView log_sum) {
  DeviceContext::Impl& context = exec.impl().context->impl();
  auto& plans = context.attached<Plans>();
  const PlanKey key = key_of(shape, qkv, out);
  Plan* plan =
      plans.find(context, key, [&](fe::graph::Graph& graph) { describe_forward(key, graph); });
  if (plan == nullptr) return false;
  Pointers pointers = {{kOut, out.ptr}, {kLogSum, log_sum.ptr}};
  add_parts(shape, qkv.raw(), qkv.dtype, kQuery, pointers);
  execute(exec, plans, *plan, pointers);
  return true;
}

bool cudnn_attention_backward(Exec& exec, const AttentionShape& shape, ConstTensorView qkv,
                              ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                              TensorView dqkv) {
  DeviceContext::Impl& context = exec.impl().context->impl();
  auto& plans = context.attached<Plans>();
  PlanKey key = key_of(shape, qkv, out);
  key.dout_pitch = dout.stride[0], key.dqkv_pitch = dqkv.stride[0];
  key.deterministic = exec.impl().deterministic;
  Plan* plan =
      plans.find(context, key, [&](fe::graph::Graph& graph) { describe_backward(key, graph); });
  if (plan == nullptr) return false;
  Pointers pointers = {{kOut, const_cast<void*>(out.raw())},
                       {kLogSum, const_cast<void*>(log_sum.raw())},
                       {kDOut, const_cast<void*>(dout.raw())}};
  add_parts(shape, qkv.raw(), qkv.dtype, kQuery, pointers);
  add_parts(shape, dqkv.ptr, dqkv.dtype, kDQuery, pointers);
  execute(exec, plans, *plan, pointers);
  return true;
}

}  // namespace moiety::ops::cuda
