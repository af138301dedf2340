// What the families after Llama share: their sizes, their tensors, and the parts of both
// configurations that say the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/checkpoint/hf_mapping.h"

namespace moiety::hf {

/// Sizes under Llama's names.
struct Decoder {
  int64_t layers, hidden, inner, heads, kv_heads, head, vocab, length;
  bool tied;
  /// Throws unless the settings that all these families share are those that the model computes.
  explicit Decoder(const Settings& config);
};

/// Collects the bindings of one model.
class Bindings {
 public:
  explicit Bindings(const Decoder& sizes) : s_(sizes) {}

  /// Embedding, final norm and, untied, the head.
  void add_ends();
  /// The two norms of layer n.
  void add_norms(int64_t n);
  /// q, k and v as one product, and the way out.
  void add_attention(int64_t n);
  /// q_norm and k_norm of layer n, of these widths.
  void add_qk_norm(int64_t n, int64_t q, int64_t k);
  /// The gated dense layer n, `inner` wide.
  void add_dense(int64_t n, int64_t inner);
  /// Router and experts below `from` ("model.layers.0.mlp."). `names` are those of the gate, up and
  /// down projections.
  struct Names {
    std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
  };
  void add_experts(int64_t n, const std::string& from, int64_t experts, int64_t inner,
                   const Names& names);

  void vector(std::string name, std::string hf, int64_t width, Role role = Role::kParameter);
  /// [in, out] here, [out, in] there.
  void linear(std::string name, std::string hf, int64_t in, int64_t out);
  /// The gated function below `from`, as [1, ...] tensors below `to`.
  void gated(const std::string& to, const std::string& from, int64_t inner, const Names& names);
  std::vector<Binding> take() { return std::move(out_); }

 private:
  std::vector<Piece> gate_and_up(const std::string& from, int64_t inner, const Names& names) const;

  Decoder s_;
  std::vector<Binding> out_;
};

std::string to_layer(int64_t n);    ///< "layers.3."
std::string from_layer(int64_t n);  ///< "model.layers.3."

/// The section model of the YAML, up to what a family adds; each line ends with a newline.
std::string decoder_yaml(const Decoder& sizes, const Settings& config, double theta, double eps);

// hf_rope.cc
/// rope_theta and rope_scaling, from the top of config.json or since transformers 5 from
/// rope_parameters; `theta` where the base is missing. Types other than default, linear, llama3 and
/// yarn are refused.
std::string rope_yaml(const Settings& config, double theta);
Json rope_parameters(const ModelConfig& config);

/// config.json up to what a family adds; `architecture` is transformers' class.
Json decoder_config(const RunConfig& config, const char* model_type, const char* architecture,
                    Reasons& reasons);

/// Adds `text` to the reasons unless `holds`.
void expect(bool holds, Reasons& reasons, const std::string& text);

}  // namespace moiety::hf
