// What frames a step, as single-threaded functors on either device.
#include "core/ops/step_ops.h"

#include <cmath>

#include <moiety/rows.cuh>

namespace moiety::ops {

namespace {

struct Begin {
  StepControl* c;
  MOIETY_HD void operator()(int64_t) const {
    c->step.lr = static_cast<float>(c->schedule.at(c->step.update));
    if (c->schedule.moves_betas()) {
      c->step.beta1 = c->schedule.first_beta(c->step.update);
      c->step.beta2 = OneCycle::kVariance;
    }
    c->step.loss_scale = static_cast<float>(c->scaler.scale);
    c->step.skip = 0;
  }
};

struct Finish {
  const float* norm;
  StepControl* c;
  MOIETY_HD void operator()(int64_t) const {
    const double scale = c->scaler.scale;  // the one that backward used
    const double n = static_cast<double>(*norm) / scale;
    const bool overflow = !(n < INFINITY);  // NaN too
    c->grad_norm = static_cast<float>(n);
    double factor = 1 / scale;
    const double over = c->clip > 0 ? (n + 1e-6) / c->clip : 0;
    if (over > 1) factor /= over;
    c->step.grad_factor = static_cast<float>(factor);
    c->step.skip = overflow && c->check_overflow != 0 ? 1 : 0;
    if (c->step.skip != 0) ++c->skipped;
    c->scaler.update(overflow);
  }
};

struct End {
  StepControl* c;
  MOIETY_HD void operator()(int64_t) const {
    ++c->step.batch;
    if (c->step.skip == 0) ++c->step.update;
  }
};

}  // namespace

void begin_step(Exec& exec, StepControl* control) { for_each_row(exec, 1, Begin{control}); }

void finish_gradients(Exec& exec, ConstTensorView norm, StepControl* control) {
  for_each_row(exec, 1, Finish{norm.data<float>(), control});
}

void end_step(Exec& exec, StepControl* control) { for_each_row(exec, 1, End{control}); }

}  // namespace moiety::ops
