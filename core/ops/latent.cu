// Copies between the products of latent attention and the rows that attention reads.
#include "core/ops/latent.h"

#include "core/ops/dtype.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

template <class T>
struct JoinQkv {
  LatentShape s;
  Rows<const T> q, kv, k_rope;
  Rows<T> qkv;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const int64_t hd = s.nope + s.rope, q_width = s.heads * hd;
    const T *from_q = q[t], *from_rope = k_rope[t];
    T* to = qkv[t];
    group.each(q_width, [&](int64_t c) { to[c] = from_q[c]; });
    for (int64_t h = 0; h < s.heads; ++h) {
      const T* from = kv[t] + h * (s.nope + s.value);
      T *key = to + q_width + h * hd, *value = to + 2 * q_width + h * s.value;
      group.each(s.nope, [&](int64_t c) { key[c] = from[c]; });
      group.each(s.rope, [&](int64_t c) { key[s.nope + c] = from_rope[c]; });
      group.each(s.value, [&](int64_t c) { value[c] = from[s.nope + c]; });
    }
  }
};

template <class T>
struct SplitQkv {
  LatentShape s;
  Rows<const T> dqkv;
  Rows<T> dq, dkv, dk_rope;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    const int64_t hd = s.nope + s.rope, q_width = s.heads * hd;
    const T* from = dqkv[t];
    T *to_q = dq[t], *to_rope = dk_rope[t];
    group.each(q_width, [&](int64_t c) { to_q[c] = from[c]; });
    for (int64_t h = 0; h < s.heads; ++h) {
      const T *key = from + q_width + h * hd, *value = from + 2 * q_width + h * s.value;
      T* to = dkv[t] + h * (s.nope + s.value);
      group.each(s.nope, [&](int64_t c) { to[c] = key[c]; });
      group.each(s.value, [&](int64_t c) { to[s.nope + c] = value[c]; });
    }
    group.each(s.rope, [&](int64_t c) {
      float sum = 0;
      for (int64_t h = 0; h < s.heads; ++h) {
        sum += static_cast<float>(from[q_width + h * hd + s.nope + c]);
      }
      to_rope[c] = static_cast<T>(sum);
    });
  }
};

void check(const char* op, const LatentShape& s, ConstTensorView q, ConstTensorView kv,
           ConstTensorView k_rope, ConstTensorView qkv) {
  check_rank(op, "qkv", qkv, 2);
  const int64_t T = qkv.dim(0);
  check_shape(op, "qkv", qkv, {T, s.qkv_width()});
  check_shape(op, "q", q, {T, s.q_width()});
  check_shape(op, "kv", kv, {T, s.kv_width()});
  check_shape(op, "k_rope", k_rope, {T, s.rope});
  check_same_dtype(op, "q", q, qkv.dtype);
  check_same_dtype(op, "kv", kv, qkv.dtype);
  check_same_dtype(op, "k_rope", k_rope, qkv.dtype);
}

}  // namespace

void latent_qkv(Exec& exec, const LatentShape& shape, ConstTensorView q, ConstTensorView kv,
                ConstTensorView k_rope, TensorView qkv) {
  check("latent_qkv", shape, q, kv, k_rope, qkv);
  with_float(qkv.dtype, "latent_qkv", [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<32>(
        exec, qkv.dim(0),
        JoinQkv<E>{shape, q.rows<E>(), kv.rows<E>(), k_rope.rows<E>(), qkv.rows<E>()});
  });
}

void latent_qkv_backward(Exec& exec, const LatentShape& shape, ConstTensorView dqkv, TensorView dq,
                         TensorView dkv, TensorView dk_rope) {
  check("latent_qkv_backward", shape, dq, dkv, dk_rope, dqkv);
  with_float(dqkv.dtype, "latent_qkv_backward", [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<32>(
        exec, dqkv.dim(0),
        SplitQkv<E>{shape, dqkv.rows<E>(), dq.rows<E>(), dkv.rows<E>(), dk_rope.rows<E>()});
  });
}

}  // namespace moiety::ops
