#include "core/bench/attention_bench.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

#include <moiety/ops.h>

#include "core/bench/compare.h"
#include "core/ops/attention.h"

namespace moiety::bench {

namespace {

constexpr int kWarmUp = 5;
constexpr uint32_t kSets = 3;  // of operands: together they exceed the caches

constexpr int32_t kEnd = 1;  // of a document, in tokens that are 0 else

struct Tensors {
  TensorView qkv, dout, out, log_sum, dqkv;
  ops::Documents documents;
};

/// Tokens [batch * S] whose documents have geometric lengths; always the same ones.
std::vector<int32_t> packed_tokens(const AttentionSize& size, int64_t documents) {
  std::mt19937 random(1);
  std::vector<int32_t> tokens(static_cast<size_t>(size.batch * size.sequence));
  const double rate = static_cast<double>(documents - 1) / static_cast<double>(size.sequence);
  for (int32_t& token : tokens) {
    token = static_cast<double>(random()) < rate * 4294967296.0 ? kEnd : 0;
  }
  return tokens;
}

/// Pairs of a query and a key that it sees.
double seen_pairs(const std::vector<int32_t>& tokens, int64_t sequence) {
  double pairs = 0, keys = 0;
  for (size_t t = 0; t < tokens.size(); ++t) {
    const bool begins = t % static_cast<size_t>(sequence) == 0 || tokens[t - 1] == kEnd;
    keys = begins ? 1 : keys + 1;
    pairs += keys;
  }
  return pairs;
}

/// Those of the first `batch` sequences; none where there are no tokens.
ops::Documents find_documents(Ground& ground, DeviceContext& context,
                              const std::vector<int32_t>& tokens, const ops::AttentionShape& s) {
  if (tokens.empty()) return {};
  const int64_t T = s.batch * s.sequence;
  const TensorView on_device = ground.make(DType::kI32, {T}),
                   starts = ground.make(DType::kI32, {T});
  const TensorView begins =
      ground.make(DType::kI32, {ops::documents_to_list(s.batch, s.sequence) + 1});
  context.copy(on_device.ptr, tokens.data(), static_cast<size_t>(T) * sizeof(int32_t));
  context.synchronize();
  ground.call([&](Exec& exec) {
    ops::document_starts(exec, on_device, s.sequence, kEnd, starts);
    ops::list_documents(exec, s.sequence, starts, begins);
  });
  return {starts, begins};
}

Tensors random_tensors(Ground& ground, DType dtype, const ops::AttentionShape& s, uint32_t seed) {
  const int64_t rows = s.batch * s.sequence;
  return {ground.random(dtype, {rows, s.qkv_width()}, seed),
          ground.random(dtype, {rows, s.out_width()}, seed + 1),
          ground.make(dtype, {rows, s.out_width()}),
          ground.make(DType::kF32, {s.batch, s.heads, s.sequence}),
          ground.make(dtype, {rows, s.qkv_width()}),
          {}};
}

void forward(Ground& ground, const ops::AttentionShape& shape, const Tensors& t) {
  ground.call(
      [&](Exec& exec) { ops::attention(exec, shape, t.qkv, t.out, t.log_sum, t.documents); });
}

void backward(Ground& ground, const ops::AttentionShape& shape, const Tensors& t) {
  ground.call([&](Exec& exec) {
    ops::attention_backward(exec, shape, t.qkv, t.out, t.log_sum, t.dout, t.dqkv, t.documents);
  });
}

Comparison compare(DeviceContext& context, Ground& ground, DType dtype, ops::AttentionShape shape,
                   const std::vector<int32_t>& tokens) {
  shape.batch = 1;
  Ground reference(context, DType::kF32);
  ops::AttentionShape plain = shape;
  plain.own_kernels = true;
  Tensors t = random_tensors(ground, dtype, shape, 1),
          r = random_tensors(reference, DType::kF32, plain, 1);
  t.documents = find_documents(ground, context, tokens, shape);
  r.documents = find_documents(reference, context, tokens, plain);
  ops::copy(reference.exec(), t.qkv, r.qkv);
  ops::copy(reference.exec(), t.dout, r.dout);
  forward(ground, shape, t), backward(ground, shape, t);
  forward(reference, plain, r), backward(reference, plain, r);
  Comparison check;
  check.add("output", ground, t.out, reference, r.out);
  check.add("dqkv", ground, t.dqkv, reference, r.dqkv);
  return check;
}

void bench_size(DeviceContext& context, const AttentionSize& size, const AttentionOptions& options,
                std::vector<Row>& rows) {
  const DType dtype = context.device().type == DeviceType::kCuda ? DType::kBF16 : DType::kF32;
  ops::AttentionShape shape;
  shape.batch = size.batch, shape.sequence = size.sequence, shape.heads = size.heads;
  shape.kv_heads = size.kv_heads, shape.head_dim = size.head_dim;
  shape.scale = 1 / std::sqrt(static_cast<double>(size.head_dim));
  shape.own_kernels = options.own_kernels;
  Ground ground(context, dtype);
  ground.exec().impl().deterministic = options.deterministic;
  Row row;
  row.what = "attn";
  row.tokens = static_cast<double>(size.batch * size.sequence);
  const std::vector<int32_t> tokens =
      options.documents > 0 ? packed_tokens(size, options.documents) : std::vector<int32_t>{};
  std::string sizes = fmt::format("{} B{} H{} kv{} S{} D{}", size.name, size.batch, size.heads,
                                  size.kv_heads, size.sequence, size.head_dim);
  if (options.documents > 0) sizes += fmt::format(" docs{}", options.documents);
  const Comparison check = compare(context, ground, dtype, shape, tokens);
  row.detail = "against f32: " + check.text();
  row.right = check.right();
  row.shape = sizes + " forward";
  if (!row.right) {
    rows.push_back(row);
    return;
  }
  ground.memory().rewind();
  const ops::Documents documents = find_documents(ground, context, tokens, shape);
  std::vector<Tensors> sets;
  for (uint32_t i = 0; i < kSets; ++i) {
    sets.push_back(random_tensors(ground, dtype, shape, 2 * i));
    sets.back().documents = documents;
    forward(ground, shape, sets.back());
  }
  const auto set = [&](int i) -> const Tensors& { return sets[static_cast<size_t>(i) % kSets]; };
  const auto s = static_cast<double>(size.sequence);
  const double pairs = tokens.empty() ? static_cast<double>(size.batch) * s * (s + 1) / 2
                                      : seen_pairs(tokens, size.sequence);
  row.teraflops = 4 * static_cast<double>(size.heads * size.head_dim) * pairs / 1e12;
  row.times = time_calls(context, kWarmUp, options.iterations,
                         [&](int i) { forward(ground, shape, set(i)); });
  rows.push_back(row);
  row.shape = sizes + " backward", row.teraflops *= 2.5, row.detail.clear();
  row.times = time_calls(context, kWarmUp, options.iterations,
                         [&](int i) { backward(ground, shape, set(i)); });
  rows.push_back(row);
}

}  // namespace

std::vector<AttentionSize> attention_sizes(DeviceType device) {
  if (device == DeviceType::kCpu) return {{"quickstart", 4, 4, 4, 256, 48}};
  return {{"gpt-350m", 16, 16, 16, 2048, 64},
          {"mixtral-mini", 8, 16, 4, 2048, 64},
          {"wide", 8, 16, 4, 2048, 128},
          {"mixtral-slice", 4, 32, 8, 4096, 128}};
}

std::vector<Row> bench_attention(DeviceContext& context, const std::vector<AttentionSize>& sizes,
                                 const AttentionOptions& options) {
  std::vector<Row> rows;
  for (const AttentionSize& size : sizes) bench_size(context, size, options, rows);
  return rows;
}

}  // namespace moiety::bench
