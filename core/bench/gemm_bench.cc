#include "core/bench/gemm_bench.h"

#include <fmt/format.h>

#include <moiety/ops.h>
#include <moiety/rng.h>

#include "core/bench/ground.h"
#include "core/model/parameter_table.h"
#include "core/ops/fp8_products.h"
#include "core/ops/gemm.h"

namespace moiety::bench {

namespace {

constexpr int kWarmUp = 5;

struct Dense {
  const char* name;
  int64_t m, n, k;
};
struct Grouped {
  const char* name;
  int64_t experts, rows, in, out;  // rows in all
};

std::vector<Dense> dense_shapes(bool cuda) {
  if (!cuda) return {{"square", 1024, 1024, 1024}, {"quickstart qkv", 1024, 576, 192}};
  return {{"square", 8192, 8192, 8192},
          {"gpt-350m qkv", 32768, 3072, 1024},
          {"gpt-350m ffn up", 32768, 4096, 1024},
          {"gpt-350m ffn down", 32768, 1024, 4096},
          {"gpt-350m head", 8192, 50304, 1024}};
}

std::vector<Grouped> grouped_shapes(bool cuda) {
  if (!cuda) return {{"quickstart up", 8, 2048, 192, 768}, {"quickstart down", 8, 2048, 768, 192}};
  return {{"mixtral up", 8, 16384, 4096, 28672},  {"mixtral down", 8, 16384, 14336, 4096},
          {"moe128 up", 128, 16384, 2048, 8192},  {"moe128 down", 128, 16384, 8192, 2048},
          {"fine up", 128, 131072, 2048, 1536},   {"fine down", 128, 131072, 768, 2048},
          {"gpt-350m up", 32, 32768, 1024, 4096}, {"gpt-350m down", 32, 32768, 4096, 1024}};
}

double tera(int64_t m, int64_t n, int64_t k) { return 2.0 * static_cast<double>(m * n * k) / 1e12; }

Row row_of(const std::string& shape, double teraflops, const Times& times) {
  Row row;
  row.what = "gemm", row.shape = shape, row.teraflops = teraflops, row.times = times;
  return row;
}

/// Two sets of operands: together they exceed the caches.
constexpr int kSets = 2;

void bench_dense(DeviceContext& context, DType dtype, const Dense& s, int iterations,
                 std::vector<Row>& rows) {
  Ground ground(context, dtype);
  std::vector<TensorView> a, b, c;
  for (uint32_t i = 0; i < kSets; ++i) {
    a.push_back(ground.random(dtype, {s.m, s.k}, 2 * i));
    b.push_back(ground.random(dtype, {s.k, s.n}, 2 * i + 1));
    c.push_back(ground.make(dtype, {s.m, s.n}));
  }
  const Times times = time_calls(context, kWarmUp, iterations, [&](int i) {
    const auto k = static_cast<size_t>(i % kSets);
    ops::gemm(ground.exec(), a[k], b[k], c[k], {});
  });
  rows.push_back(row_of(fmt::format("{} [{} {}] x [{} {}]", s.name, s.m, s.k, s.k, s.n),
                        tera(s.m, s.n, s.k), times));
}

/// Segments as random choices fill them.
Segments random_segments(Ground& ground, const Grouped& s) {
  std::vector<int32_t> count(static_cast<size_t>(s.experts)), start(count.size());
  uint64_t state = 7;
  for (int64_t i = 0; i < s.rows; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    ++count[(state >> 33) % count.size()];
  }
  for (size_t e = 1; e < count.size(); ++e) start[e] = start[e - 1] + count[e - 1];
  Segments segments;
  segments.start = ground.put(start), segments.count = ground.put(count);
  return segments;
}

void bench_grouped(DeviceContext& context, DType dtype, const Grouped& s, int iterations,
                   std::vector<Row>& rows) {
  Ground ground(context, dtype);
  const Segments segments = random_segments(ground, s);
  std::vector<TensorView> a, b, w;
  for (uint32_t i = 0; i < kSets; ++i) {
    a.push_back(ground.random(dtype, {s.rows, s.in}, 3 * i));
    b.push_back(ground.random(dtype, {s.rows, s.out}, 3 * i + 1));
    w.push_back(ground.random(dtype, {s.experts, s.in, s.out}, 3 * i + 2));
  }
  ParameterTable table;
  ParamSpec spec;
  spec.shape = {s.experts, s.in, s.out};
  spec.fan_in = s.in;
  const Parameter weight(table.add("w", spec));
  table.allocate(context, dtype, /*gradients=*/true);
  table.set_grad_mode(GradMode::kOverwrite);
  const auto add = [&](const char* product, const std::function<void(Exec&, size_t)>& body) {
    const Times times = time_calls(context, kWarmUp, iterations, [&](int i) {
      ground.call([&](Exec& exec) { body(exec, static_cast<size_t>(i % kSets)); });
    });
    rows.push_back(row_of(fmt::format("{} {} {} x [{} {} {}]", s.name, product, s.rows / s.experts,
                                      s.experts, s.in, s.out),
                          tera(s.rows, s.in, s.out), times));
  };
  add("y", [&](Exec& exec, size_t k) { ops::grouped_gemm(exec, segments, a[k], w[k], b[k]); });
  add("dx", [&](Exec& exec, size_t k) {
    ops::grouped_gemm(exec, segments, b[k], w[k], a[k], ops::Transpose::kYes);
  });
  add("dw",
      [&](Exec& exec, size_t k) { ops::grouped_gemm_grad(exec, segments, a[k], b[k], weight); });
}

/// One product of a layer: in bf16, in FP8 from the operands as a layer has them, and alone.
struct LayerProduct {
  const char* name;
  std::function<void(Exec&)> bf16, fp8;
  std::function<ops::Fp8Matrix(Exec&)> left, right;
  TensorView out;
};

void bench_fp8_dense(DeviceContext& context, const Dense& s, int iterations,
                     std::vector<Row>& rows) {
  constexpr DType kType = DType::kBF16, kLeft = DType::kF8E4M3, kGradient = DType::kF8E5M2;
  Ground ground(context, kType);
  const TensorView x = ground.random(kType, {s.m, s.k}, 1), w = ground.random(kType, {s.k, s.n}, 2);
  const TensorView dy = ground.random(kType, {s.m, s.n}, 3), y = ground.make(kType, {s.m, s.n});
  const TensorView dx = ground.make(kType, {s.m, s.k}), dw = ground.make(DType::kF32, {s.k, s.n});
  using ops::Fp8ScaleOrder, ops::Transpose;
  const LayerProduct products[] = {
      {"y", [&](Exec& exec) { ops::gemm(exec, x, w, y); },
       [&](Exec& exec) { ops::fp8_product(exec, x, w, {}, y); },
       [&](Exec& exec) { return ops::quantize_rows(exec, x, kLeft, Fp8ScaleOrder::kByPiece); },
       [&](Exec& exec) { return ops::quantize_blocks(exec, w, Transpose::kYes); }, y},
      {"dx", [&](Exec& exec) { ops::gemm(exec, dy, w, dx, {.transpose_b = true}); },
       [&](Exec& exec) { ops::fp8_input_gradient(exec, dy, w, dx); },
       [&](Exec& exec) { return ops::quantize_rows(exec, dy, kGradient, Fp8ScaleOrder::kByPiece); },
       [&](Exec& exec) { return ops::quantize_blocks(exec, w, Transpose::kNo); }, dx},
      {"dw", [&](Exec& exec) { ops::gemm(exec, x, dy, dw, {.transpose_a = true}); },
       [&](Exec& exec) { ops::fp8_weight_gradient(exec, x, dy, dw, /*accumulate=*/false); },
       [&](Exec& exec) { return ops::quantize_columns(exec, x, kLeft); },
       [&](Exec& exec) { return ops::quantize_columns(exec, dy, kGradient); }, dw}};
  for (const LayerProduct& p : products) {
    const auto add = [&](const char* how, const std::function<void(Exec&)>& body) {
      const Times times = time_calls(context, kWarmUp, iterations, [&](int) { ground.call(body); });
      rows.push_back(
          row_of(fmt::format("{} {} {} [{} {}] x [{} {}]", s.name, p.name, how, s.m, s.k, s.k, s.n),
                 tera(s.m, s.n, s.k), times));
    };
    add("bf16", p.bf16);
    add("fp8 and quantising", p.fp8);
    ground.call([&](Exec& exec) {
      const ops::Fp8Matrix left = p.left(exec), right = p.right(exec);
      add("fp8 alone", [&](Exec& inner) { ops::fp8_gemm(inner, left, right, p.out); });
    });
  }
}

}  // namespace

std::vector<Row> bench_fp8_gemm(DeviceContext& context, int iterations) {
  std::vector<Row> rows;
  for (const Dense& shape : dense_shapes(context.device().type == DeviceType::kCuda)) {
    bench_fp8_dense(context, shape, iterations, rows);
  }
  return rows;
}

std::vector<Row> bench_gemm(DeviceContext& context, int iterations) {
  const bool cuda = context.device().type == DeviceType::kCuda;
  const DType dtype = cuda ? DType::kBF16 : DType::kF32;
  std::vector<Row> rows;
  for (const Dense& shape : dense_shapes(cuda)) {
    bench_dense(context, dtype, shape, iterations, rows);
  }
  for (const Grouped& shape : grouped_shapes(cuda)) {
    bench_grouped(context, dtype, shape, iterations, rows);
  }
  return rows;
}

}  // namespace moiety::bench
