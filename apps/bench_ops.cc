// moiety bench gemm|attention|loss: ops at the shapes of models, or at a given one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>
#include <vector>

#include <moiety/error.h>

#include "apps/bench_command.h"
#include "core/bench/attention_bench.h"
#include "core/bench/gemm_bench.h"
#include "core/bench/loss_bench.h"

namespace moiety::apps {

namespace {

struct GemmArguments : BenchArguments {
  bool fp8 = false;
};

int products(const GemmArguments& a) {
  DeviceContext context = open_bench_device(a.device);
  bench::Report report = begin_report(a, context);
  report.rows = a.fp8 ? bench::bench_fp8_gemm(context, a.iterations)
                      : bench::bench_gemm(context, a.iterations);
  return finish_report(a, std::move(report));
}

struct AttentionArguments : BenchArguments {
  bench::AttentionSize size{"given", 0, 16, 0, 2048, 64};
  bool deterministic = false, own_kernels = false;
  int64_t documents = 0;
};

int attention(const AttentionArguments& a) {
  DeviceContext context = open_bench_device(a.device);
  bench::Report report = begin_report(a, context);
  std::vector<bench::AttentionSize> sizes = bench::attention_sizes(context.device().type);
  if (a.size.batch > 0) {
    sizes = {a.size};
    if (a.size.kv_heads == 0) sizes[0].kv_heads = a.size.heads;
    if (a.size.heads % sizes[0].kv_heads != 0) {
      throw ConfigError(fmt::format("bench attention: --heads {} is no multiple of --kv-heads {}",
                                    a.size.heads, sizes[0].kv_heads));
    }
  }
  report.rows = bench::bench_attention(context, sizes,
                                       {a.iterations, a.deterministic, a.own_kernels, a.documents});
  return finish_report(a, std::move(report));
}

struct LossArguments : BenchArguments {
  bench::LossSize size{"given", 0, 1024, 50304};
};

int loss(const LossArguments& a) {
  DeviceContext context = open_bench_device(a.device);
  bench::Report report = begin_report(a, context);
  const std::vector<bench::LossSize> known = bench::loss_sizes(context.device().type);
  report.rows = bench::bench_loss(
      context, a.size.rows > 0 ? std::vector<bench::LossSize>{a.size} : known, a.iterations);
  return finish_report(a, std::move(report));
}

CLI::Option* add_size(CLI::App& command, const char* name, int64_t& to, const char* text) {
  return command.add_option(name, to, text)->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
}

void add_attention(CLI::App& bench, int& code) {
  const auto a = std::make_shared<AttentionArguments>();
  CLI::App* command = add_bench_command(
      bench, "attention", "causal attention, forward and backward; compared with f32 first", a);
  CLI::Option* batch =
      add_size(*command, "--batch", a->size.batch, "sequences: one shape, not those of models");
  const auto size = [&](const char* name, int64_t& to, const char* text) {
    add_size(*command, name, to, text)->needs(batch);
  };
  size("--heads", a->size.heads, "heads of queries (16)");
  size("--kv-heads", a->size.kv_heads, "heads of keys and values (--heads)");
  size("--sequence", a->size.sequence, "tokens of a sequence (2048)");
  size("--head-dim", a->size.head_dim, "width of a head (64)");
  command->add_flag("--deterministic", a->deterministic, "as with run.deterministic: true");
  command->add_flag("--own-kernels", a->own_kernels, "not cuDNN's");
  add_size(*command, "--documents", a->documents,
           "documents of a sequence, on average, that attention keeps apart");
  command->callback([a, &code] { code = attention(*a); });
}

void add_loss(CLI::App& bench, int& code) {
  const auto a = std::make_shared<LossArguments>();
  CLI::App* command =
      add_bench_command(bench, "loss",
                        "norm, output layer and cross entropy, forward and backward; compared "
                        "with f32 first; GiB beside operands and gradients",
                        a);
  CLI::Option* rows =
      add_size(*command, "--rows", a->size.rows, "tokens: one shape, not those of models");
  add_size(*command, "--hidden", a->size.hidden, "width of the model (1024)")->needs(rows);
  add_size(*command, "--vocab", a->size.vocab, "tokens of the vocabulary (50304)")->needs(rows);
  command->callback([a, &code] { code = loss(*a); });
}

}  // namespace

void add_bench_of_ops(CLI::App& bench, int& code) {
  const auto of_gemm = std::make_shared<GemmArguments>();
  CLI::App* gemm = add_bench_command(bench, "gemm", "dense and grouped products", of_gemm);
  gemm->add_flag("--fp8", of_gemm->fp8,
                 "dense products of a layer in FP8 beside bf16, with and without quantising");
  gemm->callback([of_gemm, &code] { code = products(*of_gemm); });
  add_attention(bench, code);
  add_loss(bench, code);
}

}  // namespace moiety::apps
