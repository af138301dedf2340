// One evaluation of an objective on a block of random rows.
#pragma once

#include <cstdint>

#include <moiety/objective.h>

#include "core/testing/numeric.h"
#include "core/testing/workbench.h"

namespace moiety::testing {

/// The values that enter, on the host.
struct ObjectiveRows {
  int64_t rows = 0;
  std::vector<float> logits, teacher;  // [R, V]
  std::vector<int32_t> targets;
  std::vector<float> mask;  // or empty
  float denominator = 1, loss_scale = 1;
  static ObjectiveRows random(int64_t rows);
  ObjectiveRows part(int64_t begin, int64_t count) const;
};

struct ObjectiveCallOptions {
  DType dtype = DType::kF32;
  uint8_t poison = 0xff;
  bool with_grad = true, alias = false, with_teacher = true;
  float metrics_before = 0;
};

struct ObjectiveCall {
  ObjectiveCall(const DeviceContext& context, const Objective& objective, const ObjectiveRows& in,
                const ObjectiveCallOptions& options = {});
  void launch();
  void run() { launch(), read(); }
  void read();
  std::vector<float> results();

  const Objective& objective;
  Workbench bench;
  ObjectiveInputs inputs;
  TensorView row_loss_view, grad_view, metrics_view;
  std::vector<float> row_loss, grad, metrics;  // on the host
};

}  // namespace moiety::testing
