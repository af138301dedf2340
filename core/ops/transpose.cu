// One functor for both devices: an output element a row, so that writes are consecutive.
#include "core/ops/transpose.h"

#include <moiety/rows.cuh>

#include "core/ops/dtype.h"

namespace moiety::ops {

namespace {

template <class From, class To>
struct TransposeElement {
  const From* from;
  To* to;
  int64_t rows, columns;  // of a matrix of `from`
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t matrix = i / (rows * columns), rest = i % (rows * columns);
    const int64_t column = rest / rows, row = rest % rows;
    to[i] = To(static_cast<float>(from[(matrix * rows + row) * columns + column]));
  }
};

}  // namespace

std::vector<int64_t> transposed_shape(const TensorView& x) {
  if (x.rank < 2) throw Error("transpose: a tensor needs two axes or more");
  if (x.rank == 2) return {x.dim(1), x.dim(0)};
  return {x.dim(0), x.numel() / std::max<int64_t>(x.dim(0) * x.dim(1), 1), x.dim(1)};
}

void transpose(Exec& exec, ConstTensorView from, TensorView to) {
  if (from.rank < 2 || from.numel() != to.numel()) {
    throw Error("transpose: source and target must have as many elements, and two axes or more");
  }
  const int64_t rows = from.rank == 2 ? from.dim(0) : from.dim(1);
  const int64_t matrices = from.rank == 2 ? 1 : from.dim(0);
  const int64_t n = from.numel();
  if (n == 0) return;
  with_float(from.dtype, "transpose", [&](auto f) {
    with_float(to.dtype, "transpose", [&](auto t) {
      using From = decltype(f);
      using To = decltype(t);
      for_each_row(exec, n,
                   TransposeElement<From, To>{from.data<From>(), to.data<To>(), rows,
                                              n / (matrices * rows)});
    });
  });
}

}  // namespace moiety::ops
