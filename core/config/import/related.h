// What DeepSpeed and Megatron-DeepSpeed call a key of ours.
#pragma once

#include <string>

namespace moiety::config {

/// "DeepSpeed: MoE(k=...); Megatron: --topk", or "".
std::string related_names(const std::string& path);

}  // namespace moiety::config
