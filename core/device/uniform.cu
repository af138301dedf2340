// Exec::uniform: stored noise, for components that do not draw in a loop of their own.
#include <moiety/rows.cuh>

namespace moiety {

namespace {

struct Draw {
  Rng rng;
  Rows<float> out;  // [T, W]
  int64_t width;
  MOIETY_HD void operator()(int64_t i) const {
    const int64_t row = i / width, column = i % width;
    out[row][column] = rng.uniform(row, column);
  }
};

}  // namespace

void Exec::uniform(RngKey key, TensorView out) {
  for_each_row(*this, out.numel(), Draw{rng(key), out.rows<float>(), out.dim(1)});
}

}  // namespace moiety
