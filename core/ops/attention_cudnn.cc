// cuDNN's fused attention through cudnn-frontend. The only file that includes the frontend: it
// costs more to compile than all the rest of the ops.
#include "core/ops/attention_cudnn.h"

#include <cudnn_frontend.h>

#include <compare>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/device/context_impl.h"
#include "core/device/exec_impl.h"
#include "core/ops/attention_ragged_cuda.h"
#include "core/ops/elementwise.h"

namespace moiety::ops::cuda {

namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Name : int64_t {
  kQuery = 1,
  kKey,
  kValue,
  kOut,
  kLogSum,
  kDOut,
  kDQuery,
  kDKey,
  kDValue,
  kQueryLengths,
  kKeyLengths,
  kOffsets = 100  // + the name of a tensor: where documents begin in it
};

/// Everything that a plan is built for. Pitches: elements from one token to the next.
struct PlanKey {
  int64_t batch, sequence, heads, kv_heads, head_dim, value_dim;
  double scale;
  DType dtype;
  int64_t qkv_pitch, out_pitch, dout_pitch, dqkv_pitch;  // the last two 0: forward
  bool deterministic;
  int64_t documents;  // as many as may be listed; 0: whole sequences
  auto operator<=>(const PlanKey&) const = default;

  /// The unit that attends to itself: cuDNN's batch.
  int64_t units() const { return documents > 0 ? documents : batch; }
  int64_t tokens() const { return batch * sequence; }
  /// For documents and groups of heads, gradients of keys and values are written side by side: the
  /// frontend's sums over all query heads, in f32, are `heads / kv_heads` times as wide as a row.
  bool grouped_apart() const { return documents > 0 && kv_heads < heads; }
  int64_t group_pitch() const {
    return grouped_apart() ? kv_heads * (head_dim + value_dim) : dqkv_pitch;
  }
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
          fmt::format("attention: cuDNN does not take heads {} and {} of {} and {}, sequence {}{} "
                      "({}): own kernels",
                      key.heads, key.kv_heads, key.head_dim, key.value_dim, key.sequence,
                      key.documents > 0 ? " of documents" : "", result.get_message()));
      plan = nullptr;
    }
    return plans_.emplace(key, std::move(plan)).first->second.get();
  }

 private:
  cudnnHandle_t handle_ = nullptr;
  void* stream_ = nullptr;
  std::map<PlanKey, std::unique_ptr<Plan>> plans_;
};

/// One number or more of each unit, on the device.
Tensor indices(fe::graph::Graph& graph, int64_t name, int64_t count, fe::DataType_t type) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_uid(name)
                          .set_dim({count, 1, 1, 1})
                          .set_stride({1, 1, 1, 1})
                          .set_data_type(type));
}

/// Documents of any length lie one after the other: their tensors are ragged.
void begin_where_documents_do(const PlanKey& key, fe::graph::Graph& graph, Name name,
                              fe::graph::Tensor_attributes& tensor) {
  if (key.documents == 0) return;
  tensor.set_ragged_offset(
      indices(graph, kOffsets + name, key.documents + 1, fe::DataType_t::INT64));
}

/// Heads side by side in rows of `pitch` elements, as [units, heads, sequence, width].
struct Heads {
  int64_t heads, width, pitch;
  void place(const PlanKey& key, fe::graph::Graph& graph, fe::graph::Tensor_attributes& tensor,
             Name name) const {
    tensor.set_uid(name)
        .set_dim({key.units(), heads, key.sequence, width})
        .set_stride({key.sequence * pitch, width, pitch, 1});
    begin_where_documents_do(key, graph, name, tensor);
  }
  Tensor input(const PlanKey& key, fe::graph::Graph& graph, Name name) const {
    fe::graph::Tensor_attributes tensor;
    place(key, graph, tensor, name);
    return graph.tensor(tensor);
  }
  void output(const PlanKey& key, fe::graph::Graph& graph, const Tensor& tensor, Name name) const {
    place(key, graph, tensor->set_output(true), name);
  }
};

/// [batch, heads, sequence]; of documents rows of heads, [tokens, heads].
void place_log_sum(const PlanKey& key, fe::graph::Graph& graph,
                   fe::graph::Tensor_attributes& tensor) {
  tensor.set_uid(kLogSum)
      .set_data_type(fe::DataType_t::FLOAT)
      .set_dim({key.units(), key.heads, key.sequence, 1});
  if (key.documents > 0) {
    tensor.set_stride({key.heads * key.sequence, 1, key.heads, 1});
  } else {
    tensor.set_stride({key.heads * key.sequence, key.sequence, 1, 1});
  }
  begin_where_documents_do(key, graph, kLogSum, tensor);
}

/// A unit's lengths, where they are not all `sequence`.
template <class Options>
void set_lengths(const PlanKey& key, fe::graph::Graph& graph, Options& options) {
  if (key.documents == 0) return;
  options.set_padding_mask(true)
      .set_seq_len_q(indices(graph, kQueryLengths, key.documents, fe::DataType_t::INT32))
      .set_seq_len_kv(indices(graph, kKeyLengths, key.documents, fe::DataType_t::INT32));
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
  set_lengths(k, graph, options);
  const auto [out, log_sum] = graph.sdpa(in.query, in.key, in.value, options);
  Heads{k.heads, k.value_dim, k.out_pitch}.output(k, graph, out, kOut);
  place_log_sum(k, graph, log_sum->set_output(true));
}

void describe_backward(const PlanKey& k, fe::graph::Graph& graph) {
  const Inputs in(k, graph);
  const Tensor out = Heads{k.heads, k.value_dim, k.out_pitch}.input(k, graph, kOut);
  const Tensor dout = Heads{k.heads, k.value_dim, k.dout_pitch}.input(k, graph, kDOut);
  fe::graph::Tensor_attributes log_sum;
  place_log_sum(k, graph, log_sum);
  auto options = fe::graph::SDPA_backward_attributes()
                     .set_name("attention_backward")
                     .set_attn_scale(static_cast<float>(k.scale))
                     .set_deterministic_algorithm(k.deterministic)
                     .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
                     .set_diagonal_band_right_bound(0);
  set_lengths(k, graph, options);
  if (k.documents > 0) {  // else the sums in f32 are as long as all units of full length
    options.set_max_total_seq_len_q(k.tokens()).set_max_total_seq_len_kv(k.tokens());
  }
  const auto [dquery, dkey, dvalue] =
      graph.sdpa_backward(in.query, in.key, in.value, out, dout, graph.tensor(log_sum), options);
  Heads{k.heads, k.head_dim, k.dqkv_pitch}.output(k, graph, dquery, kDQuery);
  Heads{k.kv_heads, k.head_dim, k.group_pitch()}.output(k, graph, dkey, kDKey);
  Heads{k.kv_heads, k.value_dim, k.group_pitch()}.output(k, graph, dvalue, kDValue);
}

PlanKey key_of(const AttentionShape& s, ConstTensorView qkv, ConstTensorView out,
               const Documents& documents) {
  PlanKey key{};
  key.batch = s.batch, key.sequence = s.sequence, key.heads = s.heads, key.kv_heads = s.kv_heads;
  key.head_dim = s.head_dim, key.value_dim = s.values(), key.scale = s.scale;
  key.dtype = qkv.dtype, key.qkv_pitch = qkv.stride[0], key.out_pitch = out.stride[0];
  key.documents = documents ? documents.listed() : 0;
  return key;
}

/// Ragged tensors with grouped heads came with 9.6, as did sums of their size.
bool takes(const Documents& documents) {
  return !documents || (documents.begins && documents.listed() > 0 && cudnnGetVersion() >= 90600);
}

using Pointers = std::unordered_map<int64_t, void*>;

/// Adds q, k and v of a row-major [T, qkv_width] under three names in a row.
void add_parts(const AttentionShape& s, const void* qkv, DType dtype, Name first, Pointers& to) {
  auto* bytes = static_cast<std::byte*>(const_cast<void*>(qkv));  // the frontend takes no const
  to[first] = bytes;
  to[first + 1] = bytes + s.key_column(0) * size_of(dtype);
  to[first + 2] = bytes + s.value_column(0) * size_of(dtype);
}

/// Lengths of the documents, and their places in each tensor by its elements a token.
void add_documents(Exec& exec, const Documents& documents,
                   std::initializer_list<std::pair<Name, int64_t>> tensors, Pointers& to) {
  if (!documents) return;
  std::vector<int64_t> pitches;
  for (const auto& [name, pitch] : tensors) pitches.push_back(pitch);
  const Ragged on_device = ragged(exec, documents, pitches);
  to[kQueryLengths] = to[kKeyLengths] = on_device.lengths;
  size_t i = 0;
  for (const auto& [name, pitch] : tensors) to[kOffsets + name] = on_device.offsets[i++];
}

/// What cuDNN reads or writes as log_sum: that itself, or rows in scratch.
float* log_sum_memory(Exec& exec, const PlanKey& key, const void* log_sum) {
  if (key.documents > 0) return exec.scratch(DType::kF32, {key.tokens(), key.heads}).data<float>();
  return static_cast<float*>(const_cast<void*>(log_sum));
}

void execute(Exec& exec, Plans& plans, Plan& plan, Pointers& pointers) {
  void* workspace = exec.scratch(DType::kU8, {plan.workspace}).ptr;
  fe::error_t result = plan.graph.execute(plans.handle(exec.stream()), pointers, workspace);
  MOIETY_CHECK(result.is_good(), "attention: cuDNN: {}", result.get_message());
}

}  // namespace

bool built_with_cudnn() { return true; }

bool cudnn_attention(Exec& exec, const AttentionShape& shape, ConstTensorView qkv, TensorView out,
                     TensorView log_sum, const Documents& documents) {
  if (!takes(documents)) return false;
  DeviceContext::Impl& context = exec.impl().context->impl();
  auto& plans = context.attached<Plans>();
  const PlanKey key = key_of(shape, qkv, out, documents);
  Plan* plan =
      plans.find(context, key, [&](fe::graph::Graph& graph) { describe_forward(key, graph); });
  if (plan == nullptr) return false;
  float* sums = log_sum_memory(exec, key, log_sum.ptr);
  Pointers pointers = {{kOut, out.ptr}, {kLogSum, sums}};
  add_parts(shape, qkv.raw(), qkv.dtype, kQuery, pointers);
  add_documents(exec, documents,
                {{kQuery, key.qkv_pitch},
                 {kKey, key.qkv_pitch},
                 {kValue, key.qkv_pitch},
                 {kOut, key.out_pitch},
                 {kLogSum, key.heads}},
                pointers);
  execute(exec, plans, *plan, pointers);
  if (documents) log_sum_from_rows(exec, shape, sums, log_sum);
  return true;
}

bool cudnn_attention_backward(Exec& exec, const AttentionShape& shape, ConstTensorView qkv,
                              ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                              TensorView dqkv, const Documents& documents) {
  // Deterministic, ragged gradients hold dS for as many full sequences as there may be documents.
  if (!takes(documents) || (documents && exec.impl().deterministic)) return false;
  DeviceContext::Impl& context = exec.impl().context->impl();
  auto& plans = context.attached<Plans>();
  PlanKey key = key_of(shape, qkv, out, documents);
  key.dout_pitch = dout.stride[0], key.dqkv_pitch = dqkv.stride[0];
  key.deterministic = exec.impl().deterministic;
  Plan* plan =
      plans.find(context, key, [&](fe::graph::Graph& graph) { describe_backward(key, graph); });
  if (plan == nullptr) return false;
  float* sums = log_sum_memory(exec, key, log_sum.raw());
  if (documents) rows_from_log_sum(exec, shape, log_sum, sums);
  Pointers pointers = {{kOut, const_cast<void*>(out.raw())},
                       {kLogSum, sums},
                       {kDOut, const_cast<void*>(dout.raw())}};
  add_parts(shape, qkv.raw(), qkv.dtype, kQuery, pointers);
  add_parts(shape, dqkv.ptr, dqkv.dtype, kDQuery, pointers);
  const int64_t keys = key.kv_heads * key.head_dim, values = key.kv_heads * key.value_dim;
  TensorView group;
  if (key.grouped_apart()) {
    group = exec.scratch(dqkv.dtype, {key.tokens(), key.group_pitch()});
    pointers[kDKey] = group.ptr, pointers[kDValue] = group.slice(1, keys, values).ptr;
  }
  add_documents(exec, documents,
                {{kQuery, key.qkv_pitch},
                 {kKey, key.qkv_pitch},
                 {kValue, key.qkv_pitch},
                 {kOut, key.out_pitch},
                 {kLogSum, key.heads},
                 {kDOut, key.dout_pitch},
                 {kDQuery, key.dqkv_pitch},
                 {kDKey, key.group_pitch()},
                 {kDValue, key.group_pitch()}},
                pointers);
  execute(exec, plans, *plan, pointers);
  if (group) ops::copy_rows(exec, group, dqkv.slice(1, shape.key_column(0), keys + values));
  return true;
}

}  // namespace moiety::ops::cuda
