// The component under test, with one set of options, and the sizes that the kit uses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/plugin/registry.h"
#include "core/testing/devices.h"
#include "core/testing/report.h"

namespace moiety::testing {

inline constexpr int64_t kTokens = 33, kExperts = 8, kModel = 12, kHidden = 10;
inline constexpr int64_t kVocab = 61, kSequence = 17;

inline ModelDims kit_dims(int64_t experts = kExperts) {
  ModelDims dims;
  dims.model = kModel, dims.hidden = kHidden;
  dims.experts = dims.local_experts = experts;
  dims.layers = 2;
  dims.vocab = kVocab, dims.sequence = kSequence;
  return dims;
}

struct Subject {
  PluginRegistry& plugins;
  const ComponentInfo& info;
  const OptionMap& options;
  const Devices& devices;
  bool defaults = true;  // no option is at an end of its range
  bool perf = false;

  template <class T>
  std::shared_ptr<T> make(const ModelDims& dims = kit_dims()) const {
    return plugins.create<T>(info.name, options, dims);
  }
};

void check_gating(const Subject& subject, Report& report);
void check_expert(const Subject& subject, Report& report);
void check_optimizer(const Subject& subject, Report& report);
void check_data(const Subject& subject, Report& report);
void check_objective(const Subject& subject, Report& report);

}  // namespace moiety::testing
