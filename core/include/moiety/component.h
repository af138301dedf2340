// The base of everything a plugin provides. One instance per layer and device; once it is in use it
// is const: what one call leaves for another is in Saved, what a restart needs is declared.
#pragma once

#include <cstdint>

#include <moiety/exec.h>
#include <moiety/params.h>

namespace moiety {

enum class ComponentKind : uint32_t { kGating, kExpert, kOptimizer, kData, kObjective };

struct ModelDims {
  int64_t model = 0;          // D
  int64_t hidden = 0;         // H, the width of this instance (a dense branch may have its own)
  int64_t experts = 0;        // E of this layer
  int64_t local_experts = 0;  // L, on this rank
  int64_t first_expert = 0;   // global number of local expert 0
  int64_t layer = 0, layers = 1;
  int64_t vocab = 0, sequence = 0;
};

/// What a component promises; the conformance kit holds it to every one.
struct Traits {
  bool cpu = true, cuda = true;
  bool deterministic = true;   // same inputs and seed, same bits
  bool capturable = true;      // calls may be captured in a CUDA graph
  uint32_t state_version = 1;  // bump when saved parameters or state change meaning
};

class MOIETY_API Component {
 public:
  virtual ~Component();
  /// Extra parameters and buffers; the core owns, initialises, shards and checkpoints them.
  virtual void declare(Declarations&) const {}
  /// Optional capability by name, versioned on its own; nullptr when absent.
  virtual const void* facet(std::string_view) const { return nullptr; }
  Component(const Component&) = delete;
  Component& operator=(const Component&) = delete;

 protected:
  Component() = default;
};

}  // namespace moiety
