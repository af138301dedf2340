// What the MoE families share of a configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/checkpoint/hf_mapping.h"

namespace moiety::hf {

/// The gate, as transformers' softmax routers can say it; what they cannot goes to the reasons.
struct Router {
  int64_t k = 1;
  bool normalized = false;  // a token's weights sum to 1
  Router(const MoeConfig& moe, Reasons& reasons);
};

/// SwiGLU experts, equally many in every MoE layer, without PR-MoE's branch.
void expect_plain_experts(const MoeConfig& moe, Reasons& reasons);

std::string numbers_text(const std::vector<int64_t>& numbers);  ///< "1, 2"

}  // namespace moiety::hf
