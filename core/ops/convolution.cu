// One short functor each, a pixel a row, for both devices.
#include "core/ops/convolution.h"

#include <moiety/rows.cuh>

#include "core/ops/dtype.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

/// The place of pixel number `row`.
struct Grid {
  int64_t H, W, C;
  MOIETY_HD int64_t line(int64_t row) const { return row / W % H; }
  MOIETY_HD int64_t column(int64_t row) const { return row % W; }
  MOIETY_HD int64_t image(int64_t row) const { return row / (W * H); }
  /// Offset of a pixel's first channel.
  MOIETY_HD int64_t at(int64_t image, int64_t line, int64_t column) const {
    return ((image * H + line) * W + column) * C;
  }
};

template <class T>
struct ImageRows {
  const uint8_t* image;
  T* out;
  Grid grid;
  MOIETY_HD void operator()(int64_t row) const {
    const int64_t plane = grid.H * grid.W;
    const uint8_t* from = image + row / plane * plane * grid.C + row % plane;
    for (int64_t c = 0; c < grid.C; ++c) {
      const float x = static_cast<float>(from[c * plane]) * (1.0f / 255);
      out[row * grid.C + c] = static_cast<T>((x - 0.5f) * 2.0f);
    }
  }
};

template <class T>
struct Unfold {
  const T* x;
  T* out;
  Grid in, places;  // places: the patches; C of `places` is not used
  int64_t kernel;
  MOIETY_HD void operator()(int64_t row) const {
    T* to = out + row * kernel * kernel * in.C;
    const int64_t width = kernel * in.C;  // a line of a patch lies together
    for (int64_t i = 0; i < kernel; ++i) {
      const T* from = x + in.at(places.image(row), places.line(row) + i, places.column(row));
      for (int64_t j = 0; j < width; ++j) to[i * width + j] = from[j];
    }
  }
};

template <class T>
struct UnfoldBackward {
  const T* dpatches;
  T* dx;
  Grid in, places;
  int64_t kernel;
  MOIETY_HD void operator()(int64_t row) const {
    const int64_t b = in.image(row), y = in.line(row), x = in.column(row);
    for (int64_t c = 0; c < in.C; ++c) {
      float sum = 0;
      for (int64_t i = 0; i < kernel; ++i) {
        for (int64_t j = 0; j < kernel; ++j) {
          const int64_t line = y - i, column = x - j;
          if (line < 0 || line >= places.H || column < 0 || column >= places.W) continue;
          const int64_t patch = (b * places.H + line) * places.W + column;
          sum +=
              static_cast<float>(dpatches[(patch * kernel * kernel + i * kernel + j) * in.C + c]);
        }
      }
      dx[row * in.C + c] = static_cast<T>(sum);
    }
  }
};

/// The largest of a window: which of its four pixels, the first in a tie.
template <class T>
MOIETY_HD inline int64_t winner(const T* x, const Grid& in, int64_t b, int64_t line, int64_t column,
                                int64_t c) {
  int64_t best = in.at(b, 2 * line, 2 * column) + c;
  for (int64_t i = 1; i < 4; ++i) {
    const int64_t other = in.at(b, 2 * line + i / 2, 2 * column + i % 2) + c;
    if (static_cast<float>(x[other]) > static_cast<float>(x[best])) best = other;
  }
  return best;
}

template <class T>
struct Pool {
  const T* x;
  T* out;
  Grid in, half;
  MOIETY_HD void operator()(int64_t row) const {
    for (int64_t c = 0; c < in.C; ++c) {
      const T best = x[winner(x, in, half.image(row), half.line(row), half.column(row), c)];
      out[row * in.C + c] = static_cast<float>(best) < 0 ? static_cast<T>(0.0f) : best;
    }
  }
};

template <class T>
struct PoolBackward {
  const T *x, *dout;
  T* dx;
  Grid in, half;
  MOIETY_HD void operator()(int64_t row) const {
    const int64_t b = in.image(row), line = in.line(row) / 2, column = in.column(row) / 2;
    const bool inside = line < half.H && column < half.W;
    for (int64_t c = 0; c < in.C; ++c) {
      const int64_t at = row * in.C + c;
      const bool won =
          inside && winner(x, in, b, line, column, c) == at && static_cast<float>(x[at]) > 0;
      dx[at] = won ? dout[half.at(b, line, column) + c] : static_cast<T>(0.0f);
    }
  }
};

Grid grid_of(ConstTensorView x) { return {x.dim(1), x.dim(2), x.dim(3)}; }

Grid half_of(const Grid& g) { return {g.H / 2, g.W / 2, g.C}; }

Grid places_of(const Grid& g, int64_t kernel) { return {g.H - kernel + 1, g.W - kernel + 1, g.C}; }

}  // namespace

void image_rows(Exec& exec, ConstTensorView image, TensorView out) {
  check_rank("image_rows", "image", image, 4);
  const Grid grid{image.dim(2), image.dim(3), image.dim(1)};
  check_shape("image_rows", "out", out, {image.dim(0), grid.H, grid.W, grid.C});
  with_float(out.dtype, "image_rows", [&](auto element) {
    using E = decltype(element);
    for_each_row(exec, image.dim(0) * grid.H * grid.W,
                 ImageRows<E>{image.data<uint8_t>(), out.data<E>(), grid});
  });
}

void unfold(Exec& exec, int64_t kernel, ConstTensorView x, TensorView out) {
  check_rank("unfold", "x", x, 4);
  const Grid in = grid_of(x), places = places_of(in, kernel);
  const int64_t rows = x.dim(0) * places.H * places.W;
  check_shape("unfold", "out", out, {rows, kernel * kernel * in.C});
  check_same_dtype("unfold", "out", out, x.dtype);
  with_float(x.dtype, "unfold", [&](auto element) {
    using E = decltype(element);
    for_each_row(exec, rows, Unfold<E>{x.data<E>(), out.data<E>(), in, places, kernel});
  });
}

void unfold_backward(Exec& exec, int64_t kernel, ConstTensorView dpatches, TensorView dx) {
  check_rank("unfold_backward", "dx", dx, 4);
  const Grid in = grid_of(dx), places = places_of(in, kernel);
  check_shape("unfold_backward", "dpatches", dpatches,
              {dx.dim(0) * places.H * places.W, kernel * kernel * in.C});
  check_same_dtype("unfold_backward", "dpatches", dpatches, dx.dtype);
  with_float(dx.dtype, "unfold_backward", [&](auto element) {
    using E = decltype(element);
    for_each_row(exec, dx.dim(0) * in.H * in.W,
                 UnfoldBackward<E>{dpatches.data<E>(), dx.data<E>(), in, places, kernel});
  });
}

void relu_max_pool(Exec& exec, ConstTensorView x, TensorView out) {
  check_rank("relu_max_pool", "x", x, 4);
  const Grid in = grid_of(x), half = half_of(in);
  check_shape("relu_max_pool", "out", out, {x.dim(0), half.H, half.W, half.C});
  check_same_dtype("relu_max_pool", "out", out, x.dtype);
  with_float(x.dtype, "relu_max_pool", [&](auto element) {
    using E = decltype(element);
    for_each_row(exec, x.dim(0) * half.H * half.W, Pool<E>{x.data<E>(), out.data<E>(), in, half});
  });
}

void relu_max_pool_backward(Exec& exec, ConstTensorView x, ConstTensorView dout, TensorView dx) {
  check_rank("relu_max_pool_backward", "x", x, 4);
  const Grid in = grid_of(x), half = half_of(in);
  check_shape("relu_max_pool_backward", "dout", dout, {x.dim(0), half.H, half.W, half.C});
  check_shape("relu_max_pool_backward", "dx", dx, {x.dim(0), in.H, in.W, in.C});
  with_float(x.dtype, "relu_max_pool_backward", [&](auto element) {
    using E = decltype(element);
    for_each_row(exec, x.dim(0) * in.H * in.W,
                 PoolBackward<E>{x.data<E>(), dout.data<E>(), dx.data<E>(), in, half});
  });
}

}  // namespace moiety::ops
