// A configuration while it is being put together.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"
#include "core/config/report.h"
#include "core/config/run_config.h"

namespace moiety::config {

/// Keys that end up as something else in RunConfig.
struct Inputs {
  int64_t schema_version = 1;
  bool fp16 = false, bf16 = false;
  int64_t expert_interval = 2;
  int64_t k = 1;
  int64_t granularity = 1;
  int64_t shared_experts = 0;
};

/// A `moe.*` key that fills an option of the gate.
struct GateKey {
  std::string path, option;
  const Node* node = nullptr;
};

struct Draft {
  RunConfig config;
  Inputs inputs;
  Report report;
  std::map<std::string, Mark> given;              // every key of the file, by path
  std::map<std::string, const Node*> components;  // "moe.gate" -> its node
  std::vector<GateKey> gate_keys;
  std::map<std::string, std::string> sources;  // provenance of what is neither given nor default
  std::vector<std::string> notes;              // keys that change nothing here

  bool is_given(const std::string& path) const { return given.contains(path); }
  /// Where the first of `paths` that the user wrote stands; the top of the file when none.
  Mark where(std::initializer_list<std::string_view> paths) const;
  /// Whether no error concerned any of `paths`.
  bool ok(std::initializer_list<std::string_view> paths) const;

  Mark top;  // of the file
};

}  // namespace moiety::config
