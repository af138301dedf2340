// Activations of expert slots, plain and gated. Slots in no segment are neither read nor written.
#include <moiety/ops.h>

#include "core/ops/activation_cuda.cuh"
#include "core/ops/activation_functions.h"
#include "core/ops/dtype.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

struct SlotTest {
  const int32_t *start, *count;
  int64_t G;
  explicit SlotTest(const Segments& s)
      : start(s.start.data<int32_t>()), count(s.count.data<int32_t>()), G(s.start.numel()) {}
  template <class Group>
  MOIETY_HD bool used(const Group& group, int64_t slot) const {
    const int32_t *s = start, *c = count;
    return group.any(G, [&](int64_t g) { return slot >= s[g] && slot - s[g] < c[g]; });
  }
};

template <class T, class Function>
struct Activate {
  SlotTest slots;
  Rows<const T> h;
  Rows<T> out;
  int64_t H;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t slot) const {
    if (!slots.used(group, slot)) return;
    const T* in = h[slot];
    T* to = out[slot];
    group.each(H, [&](int64_t c) {
      to[c] = static_cast<T>(Function::at(static_cast<float>(in[c])).value);
    });
  }
};

template <class T, class Function>
struct ActivateBackward {
  SlotTest slots;
  Rows<const T> h, dout;
  Rows<T> dh;
  int64_t H;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t slot) const {
    if (!slots.used(group, slot)) return;
    const T *in = h[slot], *gradient = dout[slot];
    T* to = dh[slot];
    group.each(H, [&](int64_t c) {
      to[c] = static_cast<T>(static_cast<float>(gradient[c]) *
                             Function::at(static_cast<float>(in[c])).slope);
    });
  }
};

template <class T, class Function>
struct GatedActivate {
  SlotTest slots;
  Rows<const T> h;  // [N, 2H]: gate, then up
  Rows<T> out;
  int64_t H;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t slot) const {
    if (!slots.used(group, slot)) return;
    const T *gate = h[slot], *up = gate + H;
    T* to = out[slot];
    group.each(H, [&](int64_t c) {
      const float value = Function::at(static_cast<float>(gate[c])).value;
      to[c] = static_cast<T>(value * static_cast<float>(up[c]));
    });
  }
};

template <class T, class Function>
struct GatedActivateBackward {
  SlotTest slots;
  Rows<const T> h, dout;
  Rows<T> dh;  // [N, 2H]; may be h itself
  int64_t H;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t slot) const {
    if (!slots.used(group, slot)) return;
    const T *gate = h[slot], *up = gate + H, *gradient = dout[slot];
    T *dgate = dh[slot], *dup = dgate + H;
    group.each(H, [&](int64_t c) {
      const ValueAndSlope f = Function::at(static_cast<float>(gate[c]));
      const auto d = static_cast<float>(gradient[c]), u = static_cast<float>(up[c]);
      dgate[c] = static_cast<T>(d * u * f.slope);
      dup[c] = static_cast<T>(d * f.value);
    });
  }
};

/// Threads that share a slot on CUDA.
constexpr int kSlotThreads = 128;

}  // namespace

void activate(Exec& exec, const Segments& segments, Activation activation, ConstTensorView h,
              TensorView out) {
  check_rank("activate", "h", h, 2);
  const int64_t N = h.dim(0), H = h.dim(1);
  check_shape("activate", "out", out, {N, H});
  with_float(h.dtype, "activate", [&](auto element) {
    using E = decltype(element);
    with_activation(activation, [&](auto function) {
#if defined(__CUDACC__)
      if (exec.is_cuda()) {
        return with_pack<E>(packed(h.rows<E>(), H) && packed(out.rows<E>(), H), [&](auto width) {
          using Pack = MapPack<E, width, ValueOf<decltype(function)>>;
          for_each_pack(exec, RowsInSegments{lookup(segments)}, N, H,
                        Pack{h.rows<E>(), out.rows<E>(), {}});
        });
      }
#endif
      for_each_wide_row<kSlotThreads>(
          exec, N,
          Activate<E, decltype(function)>{SlotTest(segments), h.rows<E>(), out.rows<E>(), H});
    });
  });
}

void activate_backward(Exec& exec, const Segments& segments, Activation activation,
                       ConstTensorView h, ConstTensorView dout, TensorView dh) {
  check_rank("activate_backward", "h", h, 2);
  const int64_t N = h.dim(0), H = h.dim(1);
  check_shape("activate_backward", "dout", dout, {N, H});
  check_shape("activate_backward", "dh", dh, {N, H});
  with_float(h.dtype, "activate_backward", [&](auto element) {
    using E = decltype(element);
    with_activation(activation, [&](auto function) {
#if defined(__CUDACC__)
      if (exec.is_cuda()) {
        const bool wide =
            packed(h.rows<E>(), H) && packed(dout.rows<E>(), H) && packed(dh.rows<E>(), H);
        return with_pack<E>(wide, [&](auto width) {
          using Pack = ActivateBackwardPack<E, width, decltype(function)>;
          for_each_pack(exec, RowsInSegments{lookup(segments)}, N, H,
                        Pack{h.rows<E>(), dout.rows<E>(), dh.rows<E>()});
        });
      }
#endif
      for_each_wide_row<kSlotThreads>(
          exec, N,
          ActivateBackward<E, decltype(function)>{SlotTest(segments), h.rows<E>(), dout.rows<E>(),
                                                  dh.rows<E>(), H});
    });
  });
}

void gated_activate(Exec& exec, const Segments& segments, Activation activation, ConstTensorView h,
                    TensorView out) {
  check_rank("gated_activate", "out", out, 2);
  const int64_t N = out.dim(0), H = out.dim(1);
  check_shape("gated_activate", "h", h, {N, 2 * H});
  with_float(h.dtype, "gated_activate", [&](auto element) {
    using E = decltype(element);
    with_activation(activation, [&](auto function) {
#if defined(__CUDACC__)
      if (exec.is_cuda()) {
        return with_pack<E>(packed(h.rows<E>(), H) && packed(out.rows<E>(), H), [&](auto width) {
          using Pack = GatedActivatePack<E, width, decltype(function)>;
          for_each_pack(exec, RowsInSegments{lookup(segments)}, N, H,
                        Pack{h.rows<E>(), out.rows<E>(), H});
        });
      }
#endif
      for_each_wide_row<kSlotThreads>(
          exec, N,
          GatedActivate<E, decltype(function)>{SlotTest(segments), h.rows<E>(), out.rows<E>(), H});
    });
  });
}

void gated_activate_backward(Exec& exec, const Segments& segments, Activation activation,
                             ConstTensorView h, ConstTensorView dout, TensorView dh) {
  check_rank("gated_activate_backward", "dout", dout, 2);
  const int64_t N = dout.dim(0), H = dout.dim(1);
  check_shape("gated_activate_backward", "h", h, {N, 2 * H});
  check_shape("gated_activate_backward", "dh", dh, {N, 2 * H});
  with_float(h.dtype, "gated_activate_backward", [&](auto element) {
    using E = decltype(element);
    with_activation(activation, [&](auto function) {
#if defined(__CUDACC__)
      if (exec.is_cuda()) {
        const bool wide =
            packed(h.rows<E>(), H) && packed(dout.rows<E>(), H) && packed(dh.rows<E>(), H);
        return with_pack<E>(wide, [&](auto width) {
          using Pack = GatedActivateBackwardPack<E, width, decltype(function)>;
          for_each_pack(exec, RowsInSegments{lookup(segments)}, N, H,
                        Pack{h.rows<E>(), dout.rows<E>(), dh.rows<E>(), H});
        });
      }
#endif
      for_each_wide_row<kSlotThreads>(
          exec, N,
          GatedActivateBackward<E, decltype(function)>{SlotTest(segments), h.rows<E>(),
                                                       dout.rows<E>(), dh.rows<E>(), H});
    });
  });
}

}  // namespace moiety::ops
