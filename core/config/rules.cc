#include "core/config/rules.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "core/config/scalar.h"

namespace moiety::config {
namespace {

std::string text(int64_t n) { return std::to_string(n); }

/// A part counts for the selective policy alone; the default may stand beside any, as in the
/// configuration that a run keeps.
void check_recomputation(Draft& d) {
  const RecomputeConfig& r = d.config.recompute;
  if (r.policy == "selective" || r.part == "attention") return;
  d.report.add(d.where({"activation_checkpointing.part"}), "activation_checkpointing.part",
               "with policy: " + r.policy + " no part is chosen; expected policy: selective");
}

/// A classifier's images must outlast its convolutions, and only a decoder has tokens.
void check_classifier(Draft& d) {
  const ModelConfig& m = d.config.model;
  if (m.image.size() != 3) {
    d.report.add(
        d.where({"model.image"}), "model.image",
        "expected [channels, height, width], got " + text(std::ssize(m.image)) + " number(s)");
    return;
  }
  int64_t side = std::min(m.image[1], m.image[2]);
  for (size_t i = 0; i < m.convolutions.size(); ++i) {
    if (side < 6) {
      d.report.add(d.where({"model.convolutions"}), "model.convolutions",
                   "convolution " + text(static_cast<int64_t>(i)) + " gets " + text(side) +
                       " pixels a side, at least 6 needed (5 x 5, then 2 x 2 pooling); expected "
                       "at most " +
                       text(static_cast<int64_t>(i)) + " of them");
      break;
    }
    side = (side - 4) / 2;
  }
  for (const auto& [path, rate] : {std::pair("model.dropout", m.dropout),
                                   std::pair("model.attention_dropout", m.attention_dropout)}) {
    if (rate == 0) continue;
    d.report.add(d.where({path}), path,
                 "a classifier has no dropout; expected 0, got " + float_text(rate));
  }
  if (m.sequence_length != 1) {
    d.report.add(d.where({"model.sequence_length"}), "model.sequence_length",
                 "a classifier has one label a sample; expected 1, got " + text(m.sequence_length));
  }
  if (d.config.moe.enabled && d.config.moe.balance_scope != BalanceScope::kMicroBatch) {
    d.report.add(d.where({"moe.balance_scope"}), "moe.balance_scope",
                 "a classifier balances each MoE layer by itself; expected micro_batch");
  }
  const BalanceLosses& losses = d.config.moe.balance_losses;
  if (d.config.moe.enabled &&
      (losses.sequence > 0 || losses.global_batch > 0 || losses.model > 0)) {
    d.report.add(d.where({"moe.balance_losses.sequence", "moe.balance_losses.global_batch",
                          "moe.balance_losses.model"}),
                 "moe.balance_losses",
                 "a classifier balances each MoE layer by itself; expected micro_batch, importance "
                 "or load alone");
  }
  for (const auto& [path, on] :
       {std::pair("model.documents.attend_within", m.documents.attend_within),
        std::pair("model.documents.restart_positions",
                  m.documents.restart_positions && !m.documents.attend_within)}) {
    if (on) d.report.add(d.where({path}), path, "a classifier reads no text; expected false");
  }
  if (d.config.recompute.policy != "none") {
    d.report.add(d.where({"activation_checkpointing.policy"}), "activation_checkpointing.policy",
                 "a classifier keeps its activations; expected none");
  }
  if (d.config.eval.sample_bytes > 0) {
    d.report.add(d.where({"eval.sample_bytes"}), "eval.sample_bytes",
                 "a classifier has no text to go on with; expected 0");
  }
}

/// The width that rope turns, as it came about.
void check_rope(Draft& d, int64_t width, const std::string& arithmetic) {
  if (!d.ok({"model.positions"}) || d.config.model.positions != "rope" || width % 2 == 0) return;
  d.report.add(d.where({"model.positions"}), "model.positions",
               "rope turns pairs of numbers and needs an even head width, got " + arithmetic);
}

void check_heads(Draft& d) {
  const ModelConfig& m = d.config.model;
  if (!d.ok({"model.hidden", "model.heads", "model.head_dim"})) return;
  if (d.is_given("model.head_dim")) {
    check_rope(d, m.head_dim, "head_dim " + text(m.head_dim));
  } else if (m.hidden % m.heads != 0) {
    d.report.add(d.where({"model.heads", "model.hidden"}), "model.heads",
                 "the heads do not divide the width: hidden " + text(m.hidden) + " % heads " +
                     text(m.heads) + " = " + text(m.hidden % m.heads));
    return;
  } else {
    check_rope(d, m.head_dim,
               "hidden " + text(m.hidden) + " / heads " + text(m.heads) + " = " + text(m.head_dim));
  }
  if (m.head_dim > 256) {
    d.report.add(d.where({"model.heads", "model.hidden"}), "model.heads",
                 "a head has " + text(m.head_dim) + " numbers, hidden " + text(m.hidden) +
                     " / heads " + text(m.heads) + "; at most 256");
  }
  if (d.ok({"model.kv_heads"}) && m.heads % m.kv_heads != 0) {
    d.report.add(d.where({"model.kv_heads", "model.heads"}), "model.kv_heads",
                 "the key/value heads do not divide the heads: heads " + text(m.heads) +
                     " % kv_heads " + text(m.kv_heads) + " = " + text(m.heads % m.kv_heads));
  }
}

void check_documents(Draft& d) {
  const std::string path = "model.documents.restart_positions";
  if (!d.config.model.documents.restart_positions || !d.is_given(path)) return;
  if (!d.ok({"model.positions"}) || d.config.model.positions != "none") return;
  d.report.add(d.where({path}), path,
               "with model.positions: none there are no positions to start again; expected false, "
               "or positions rope or learned");
}

/// What latent attention leaves no choice about.
void check_latent(Draft& d) {
  const ModelConfig& m = d.config.model;
  const int64_t head = m.mla.qk_nope_head_dim + m.mla.qk_rope_head_dim;
  if (m.head_dim != head && d.ok({"model.mla.qk_nope_head_dim", "model.mla.qk_rope_head_dim"})) {
    d.report.add(d.where({"model.head_dim"}), "model.head_dim",
                 "with attention mla it is qk_nope_head_dim " + text(m.mla.qk_nope_head_dim) +
                     " + qk_rope_head_dim " + text(m.mla.qk_rope_head_dim) + " = " + text(head) +
                     ", got " + text(m.head_dim) + "; leave it out");
  } else if (head > 256) {
    d.report.add(d.where({"model.mla.qk_nope_head_dim"}), "model.mla.qk_nope_head_dim",
                 "with qk_rope_head_dim a head has " + text(head) + " numbers; at most 256");
  }
  if (m.kv_heads != m.heads) {
    d.report.add(d.where({"model.kv_heads"}), "model.kv_heads",
                 "with attention mla every head has its own keys and values; leave it out");
  }
  if (m.qk_norm != "none") {
    d.report.add(d.where({"model.qk_norm"}), "model.qk_norm",
                 "attention mla has norms of its own, on the latents; expected none");
  }
  if (m.positions != "rope") {
    d.report.add(d.where({"model.positions"}), "model.positions",
                 "attention mla turns a part of each query and key; expected rope");
  }
  if (m.mla.qk_rope_head_dim % 2 != 0) {
    d.report.add(d.where({"model.mla.qk_rope_head_dim"}), "model.mla.qk_rope_head_dim",
                 "rope turns pairs of numbers; expected an even number, got " +
                     text(m.mla.qk_rope_head_dim));
  }
}

void check_rope_scaling(Draft& d) {
  const RopeScaling& s = d.config.model.rope_scaling;
  if (s.type == "llama3" && s.high_freq_factor <= s.low_freq_factor) {
    d.report.add(d.where({"model.rope_scaling.high_freq_factor",
                          "model.rope_scaling.low_freq_factor", "model.rope_scaling.type"}),
                 "model.rope_scaling.high_freq_factor",
                 "expected more than low_freq_factor " + float_text(s.low_freq_factor) + ", got " +
                     float_text(s.high_freq_factor));
  }
  if (s.type != "none" && d.config.model.positions != "rope" && d.ok({"model.positions"})) {
    d.report.add(
        d.where({"model.rope_scaling.type"}), "model.rope_scaling.type",
        "there are no rotary positions to scale: model.positions is " + d.config.model.positions);
  }
}

void check_init_from(Draft& d) {
  const InitFrom& from = d.config.model.init_from;
  if (from.checkpoint.empty()) {
    for (const char* key : {"layers", "upcycle", "noise"}) {
      const std::string path = std::string("model.init_from.") + key;
      if (d.is_given(path) && (!from.layers.empty() || from.upcycle || from.noise > 0)) {
        d.report.add(d.where({path}), path, "there is no model.init_from.checkpoint to start from");
      }
    }
    return;
  }
  const int64_t layers = d.config.model.layers, count = std::ssize(from.layers);
  if (count != 0 && count != layers && d.ok({"model.layers", "model.init_from.layers"})) {
    d.report.add(d.where({"model.init_from.layers"}), "model.init_from.layers",
                 "names " + text(count) + " layers, but model.layers is " + text(layers) +
                     "; expected one for each");
  }
  if (from.noise > 0 && !from.upcycle) {
    d.report.add(d.where({"model.init_from.noise"}), "model.init_from.noise",
                 "falls on upcycled experts alone; expected 0, or model.init_from.upcycle: true");
  }
}

const char* type_of_products(Precision precision) {
  if (precision == Precision::kBF16) return "bf16";
  return precision == Precision::kF16 ? "fp16" : "fp32";
}

/// A sum over micro-batches needs fp32; one gradient may keep the type of the products behind it.
void check_gradients(Draft& d) {
  constexpr const char* kKey = "data_types.grad_accum_dtype";
  const RunConfig& c = d.config;
  const std::string products = type_of_products(c.precision);
  if (c.gradient_dtype == "auto" || c.gradient_dtype == "fp32") return;
  if (c.gradient_dtype != products) {
    d.report.add(d.where({kKey}), kKey,
                 "the products are computed in " + products + "; expected fp32" +
                     (products == "fp32" ? "" : ", " + products) + " or auto, got " +
                     c.gradient_dtype);
  } else if (c.gradient_accumulation_steps > 1) {
    d.report.add(d.where({kKey}), kKey,
                 "the gradients of " + text(c.gradient_accumulation_steps) +
                     " micro-batches are added up in float32; expected fp32 or auto, or "
                     "gradient_accumulation_steps 1");
  }
}

/// FP8 stands for part of bf16's products, and needs a part.
void check_fp8(Draft& d) {
  const RunConfig& c = d.config;
  if (!c.fp8.enabled) return;
  const Mark mark = d.where({"fp8.enabled"});
  if (c.precision != Precision::kBF16) {
    d.report.add(mark, "fp8.enabled",
                 "everything but the products with weights stays bfloat16, and they are computed "
                 "in " +
                     std::string(type_of_products(c.precision)) + "; expected bf16.enabled: true");
  }
  if (c.model.type == "classifier") {
    d.report.add(mark, "fp8.enabled", "a classifier has no products in FP8; expected false");
    return;
  }
  if (!c.fp8.dense && !(c.fp8.experts && c.moe.enabled)) {
    d.report.add(d.where({"fp8.dense", "fp8.experts"}), "fp8.dense",
                 std::string("no product is left to FP8: fp8.dense is false, and ") +
                     (c.moe.enabled ? "fp8.experts too" : "there are no experts") +
                     "; expected true, or fp8.enabled: false");
  }
}

}  // namespace

void check_model(Draft& d) {
  check_recomputation(d);
  if (d.config.model.type == "classifier") {
    check_classifier(d);
    return check_init_from(d);
  }
  if (d.config.model.attention == "mla") {
    check_latent(d);
  } else {
    check_heads(d);
  }
  check_documents(d);
  check_rope_scaling(d);
  check_init_from(d);
}

void check_precision(Draft& d) {
  RunConfig& c = d.config;
  if (d.inputs.fp16 && d.inputs.bf16) {
    d.report.add(d.where({"bf16.enabled"}), "bf16.enabled",
                 "fp16 is enabled too, at " + d.where({"fp16.enabled"}).text() +
                     "; expected one of the two");
  }
  c.precision = d.inputs.fp16   ? Precision::kF16
                : d.inputs.bf16 ? Precision::kBF16
                                : Precision::kF32;
  check_gradients(d);
  check_fp8(d);
  if (c.split_masters && c.precision != Precision::kBF16) {
    d.report.add(d.where({"bf16.split_masters"}), "bf16.split_masters",
                 "splits float32 weights at their bfloat16 value; expected bf16.enabled: true");
  }
  const Mark mark = d.where({"zero_optimization.stage"});
  if (c.zero_stage >= 2) {
    d.report.add(mark, "zero_optimization.stage",
                 "stage " + text(c.zero_stage) + " needs " +
                     (c.zero_stage == 2 ? "gradients" : "gradients and weights") +
                     " spread over ranks, which this version does not have; expected 0 or 1");
  } else if (c.zero_stage == 1 && c.world_size > 1) {
    d.report.add(mark, "zero_optimization.stage",
                 "stage 1 on " + text(c.world_size) +
                     " ranks needs optimizer state spread over ranks, which this version does not "
                     "have; expected 0");
  }
}

void check_recordings(Draft& d) {
  const RouterConfig& router = d.config.moe.router;
  for (const auto& [path, file] : {std::pair("moe.router.record", &router.record),
                                   std::pair("moe.router.replay", &router.replay)}) {
    if (file->empty() || d.config.run.graph != "on") continue;
    d.report.add(d.where({path}), path,
                 "a recording is read and written by the host, which a captured step does not "
                 "wait for, and run.graph is on; set run.graph=auto");
  }
  if (!router.replay.empty() && d.config.gradient_accumulation_steps > 1 &&
      balance_losses_of(d.config.moe).global_batch > 0) {
    d.report.add(d.where({"moe.router.replay"}), "moe.router.replay",
                 "the loss over the global batch counts the gate's own choices before the replayed "
                 "ones are known; expected gradient_accumulation_steps 1, or no such loss");
  }
  if (router.record.empty() || router.record != router.replay) return;
  d.report.add(d.where({"moe.router.record"}), "moe.router.record",
               "the same file as moe.router.replay; expected another one");
}

void add_warnings(Draft& d) {
  RunConfig& c = d.config;
  if (c.run.steps == 0 && c.run.tokens == 0 && c.run.seconds == 0) {
    c.warnings.emplace_back(
        "run has no limit (run.steps, run.tokens, run.time): it goes on until it is interrupted");
  }
  if (c.moe.enabled && c.moe.router.forced != ForcedRouting::kNone) {
    c.warnings.emplace_back(
        "moe.router.force_routing replaces the router's logits: for benchmarks, the router learns "
        "nothing");
  }
  if (c.fp16.loss_scale != 0 && c.precision != Precision::kF16) {
    c.warnings.emplace_back("fp16.loss_scale is " + float_text(c.fp16.loss_scale) +
                            " but fp16 is not enabled");
  }
}

}  // namespace moiety::config
