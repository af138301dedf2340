// Dense products on the CPU.
#include "core/ops/gemm_cpu.h"

#include <algorithm>

#include "core/device/cpu_pool.h"
#include "core/device/exec_impl.h"
#include "core/ops/dtype.h"
#include "core/ops/elementwise.h"
#include "core/ops/gemm_backends.h"
#include "core/ops/gemm_batch_cpu.h"

namespace moiety::ops::cpu {

namespace {

template <class T>
void convert_rows(Exec& exec, Rows<const T> from, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t kElements = 1 << 15;  // of a piece
  const int64_t height = std::max<int64_t>(1, kElements / std::max<int64_t>(1, columns));
  cpu_pool(exec).run((rows + height - 1) / height, [&](int64_t piece) {
    const int64_t end = std::min(rows, (piece + 1) * height);
    for (int64_t r = piece * height; r < end; ++r) {
      for (int64_t c = 0; c < columns; ++c) to[r * columns + c] = from[r][c];
    }
  });
}

}  // namespace

F32Matrix as_f32(Exec& exec, ConstTensorView x) {
  if (x.dtype == DType::kF32) return {x.rows<float>().ptr, x.stride[0]};
  const TensorView copy = exec.scratch(DType::kF32, {x.dim(0), x.dim(1)});
  with_float(x.dtype, "gemm", [&](auto type) {
    using T = decltype(type);
    convert_rows<T>(exec, x.rows<T>(), x.dim(0), x.dim(1), copy.data<float>());
  });
  return {copy.data<float>(), x.dim(1)};
}

void store_tile(const float* sums, int64_t rows, int64_t columns, TensorView c, int64_t row,
                int64_t column, bool accumulate) {
  with_float(c.dtype, "gemm", [&](auto type) {
    using T = decltype(type);
    const Rows<T> out = c.rows<T>();
    for (int64_t i = 0; i < rows; ++i) {
      T* to = out[row + i] + column;
      const float* from = sums + i * columns;
      for (int64_t j = 0; j < columns; ++j) {
        to[j] = T(accumulate ? static_cast<float>(to[j]) + from[j] : from[j]);
      }
    }
  });
}

void gemm(Exec& exec, ConstTensorView a, ConstTensorView b, TensorView c, const GemmForm& form) {
  const ArenaScope scope(*exec.impl().scratch);
  const F32Matrix fa = as_f32(exec, a), fb = as_f32(exec, b);
  const Summand product{fa.data,
                        fa.pitch,
                        form.transpose_a,
                        fb.data,
                        fb.pitch,
                        form.transpose_b,
                        a.dim(form.transpose_a ? 0 : 1)};
  ProductBatch batch(exec);
  batch.add({&product, 1}, c.dim(0), c.dim(1), c, 0, form.accumulate);
  batch.run();
  if (form.bias) add_bias(exec, form.bias, c);
}

}  // namespace moiety::ops::cpu
