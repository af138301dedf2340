// Grouped products on the CPU: those of all segments share the thread pool. Counts are read where
// they lie: device memory is host memory.
#include <vector>

#include "core/device/exec_impl.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/gemm_batch_cpu.h"
#include "core/ops/gemm_cpu.h"

namespace moiety::ops::cpu {

void grouped_gemm(Exec& exec, const GroupedProduct& p) {
  const ArenaScope scope(*exec.impl().scratch);
  const int64_t L = p.w.dim(0), rows = p.w.dim(1), K = p.a.dim(1), J = p.out.dim(1);
  const F32Matrix a = as_f32(exec, p.a), w = as_f32(exec, p.w.reshape({L * rows, p.w.dim(2)}));
  const int32_t *start = p.segments.start.data<int32_t>(),
                *count = p.segments.count.data<int32_t>();
  ProductBatch batch(exec);
  for (int64_t g = 0; g < p.segments.start.numel(); ++g) {
    const Summand product{a.data + start[g] * a.pitch,
                          a.pitch,
                          false,
                          w.data + g % L * rows * w.pitch,
                          w.pitch,
                          p.transposed,
                          K};
    batch.add({&product, 1}, count[g], J, p.out, start[g], /*accumulate=*/false);
  }
  batch.run();
}

void grouped_gemm_grad(Exec& exec, const GroupedGradient& p) {
  const ArenaScope scope(*exec.impl().scratch);
  const F32Matrix a = as_f32(exec, p.a), dout = as_f32(exec, p.dout);
  const int32_t *start = p.segments.start.data<int32_t>(),
                *count = p.segments.count.data<int32_t>();
  const int64_t G = p.segments.start.numel(), L = p.grad.dim(0), K = p.grad.dim(1),
                J = p.grad.dim(2);
  const TensorView grad = p.grad.reshape({L * K, J});
  ProductBatch batch(exec);
  for (int64_t l = 0; l < L; ++l) {
    std::vector<Summand> segments;  // an expert's, in order
    for (int64_t g = l; g < G; g += L) {
      segments.push_back({a.data + start[g] * a.pitch, a.pitch, true,
                          dout.data + start[g] * dout.pitch, dout.pitch, false, count[g]});
    }
    batch.add(segments, K, J, grad, l * K, p.accumulate);
  }
  batch.run();
}

}  // namespace moiety::ops::cpu
