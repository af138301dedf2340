// Token and position embeddings: forward, and the gradients from tokens sorted by id.
#include "core/ops/embedding.h"

#include <cmath>

#include "core/ops/backend.h"
#include "core/ops/documents.h"
#include "core/ops/dtype.h"
#include "core/ops/embedding_order.h"
#include "core/ops/shape_checks.h"
#include "core/ops/wide_rows.cuh"

namespace moiety::ops {

namespace {

template <class T>
struct Embed {
  const int32_t* ids;
  Rows<const T> token, position;
  Rows<T> out;
  const int32_t* starts;  // of documents; null: positions count from the sequence's
  int64_t sequence, V, D;

  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t t) const {
    T* to = out[t];
    const int64_t id = ids[t];
    if (id < 0 || id >= V) {  // not of this vocabulary: loud, and no stray read
      group.each(D, [&](int64_t c) { to[c] = static_cast<T>(NAN); });
      return;
    }
    const T* from = token[id];
    if (position.ptr == nullptr) {
      group.each(D, [&](int64_t c) { to[c] = from[c]; });
    } else {
      const T* place = position[place_of_token(starts, t, sequence)];
      group.each(D, [&](int64_t c) {
        to[c] = static_cast<T>(static_cast<float>(from[c]) + static_cast<float>(place[c]));
      });
    }
  }
};

/// Gradient of one row of a table: the sum of dy over the rows that `next` names, in their order.
template <class T>
struct SumRows {
  Rows<const T> dy;
  float* grad;
  int64_t D;
  bool accumulate;

  template <class G, class Next>
  MOIETY_HD void add(const G& group, int64_t row, int64_t count, const Next& next) const {
    float* to = grad + row * D;
    if (!accumulate) {
      group.each(D, [&](int64_t c) { to[c] = 0; });
    }
    if constexpr (G::kAlone) {
      for (int64_t i = 0; i < count; ++i) {
        const T* from = dy[next(i)];
        group.each(D, [&](int64_t c) { to[c] += static_cast<float>(from[c]); });
      }
    } else if (count > 0) {
      group.each(D, [&](int64_t c) {
        float sum = to[c];
        for (int64_t i = 0; i < count; ++i) sum += static_cast<float>(dy[next(i)][c]);
        to[c] = sum;
      });
    }
  }
};

/// Of a table's row, which `order` names the tokens of: by id, or by position.
template <class T>
struct TokenGradient {
  SumRows<T> rows;
  const int32_t *offset, *order;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t id) const {
    const int32_t* tokens = order + offset[id];
    rows.add(group, id, offset[id + 1] - offset[id],
             [tokens](int64_t i) { return int64_t{tokens[i]}; });
  }
};

template <class T>
struct PositionGradient {
  SumRows<T> rows;
  int64_t sequence, batch;
  template <class G>
  MOIETY_HD void operator()(const G& group, int64_t position) const {
    const int64_t s = sequence;
    rows.add(group, position, position < s ? batch : 0,
             [s, position](int64_t b) { return b * s + position; });
  }
};

TokenOrder sort_tokens(Exec& exec, ConstTensorView ids, int64_t vocabulary) {
  MOIETY_BACKEND(exec, sort_tokens, exec, ids, vocabulary);
}

/// The gradient of a table of `count` rows, from the row that each token took.
template <class T>
void sum_by_row(Exec& exec, ConstTensorView taken /*i32 [T]*/, const SumRows<T>& rows,
                int64_t count) {
  const TokenOrder sorted = sort_tokens(exec, taken, count);
  for_each_wide_row<128>(
      exec, count,
      TokenGradient<T>{rows, sorted.offset.data<int32_t>(), sorted.order.data<int32_t>()});
}

void check_sequence(const char* op, int64_t tokens, int64_t sequence, ConstTensorView position) {
  if (sequence < 1 || tokens % sequence != 0) {
    throw Error(std::string(op) + ": " + std::to_string(tokens) +
                " tokens are not whole sequences of " + std::to_string(sequence));
  }
  if (position && position.dim(0) < sequence) {
    throw Error(std::string(op) + ": the position table has " + std::to_string(position.dim(0)) +
                " rows, the sequence " + std::to_string(sequence));
  }
}

}  // namespace

void embedding(Exec& exec, ConstTensorView ids, int64_t sequence, ConstTensorView token,
               ConstTensorView position, TensorView out, ConstTensorView starts) {
  check_rank("embedding", "token", token, 2);
  const int64_t T = ids.numel(), V = token.dim(0), D = token.dim(1);
  check_shape("embedding", "out", out, {T, D});
  if (position) check_shape("embedding", "position", position, {position.dim(0), D});
  check_sequence("embedding", T, sequence, position);
  if (starts) check_shape("embedding", "starts", starts, {T});
  with_float(out.dtype, "embedding", [&](auto element) {
    using E = decltype(element);
    for_each_wide_row<32>(exec, T,
                          Embed<E>{ids.data<int32_t>(), token.rows<E>(),
                                   position ? position.rows<E>() : Rows<const E>{}, out.rows<E>(),
                                   starts ? starts.data<int32_t>() : nullptr, sequence, V, D});
  });
}

void embedding_backward(Exec& exec, ConstTensorView ids, int64_t sequence, ConstTensorView dy,
                        const Parameter& token, const Parameter* position, bool token_accumulate,
                        ConstTensorView starts) {
  const int64_t T = ids.numel();
  check_rank("embedding_backward", "dy", dy, 2);
  const int64_t D = dy.dim(1);
  check_shape("embedding_backward", "dy", dy, {T, D});
  check_sequence("embedding_backward", T, sequence,
                 position != nullptr ? position->value() : TensorView{});
  with_float(dy.dtype, "embedding_backward", [&](auto element) {
    using E = decltype(element);
    if (token.grad_mode() != GradMode::kNone) {
      const TensorView grad = token.grad();
      check_shape("embedding_backward", "token", grad, {grad.dim(0), D});
      const bool accumulate = token_accumulate || token.grad_mode() == GradMode::kAccumulate;
      sum_by_row<E>(exec, ids, {dy.rows<E>(), grad.data<float>(), D, accumulate}, grad.dim(0));
    }
    if (position != nullptr && position->grad_mode() != GradMode::kNone) {
      const TensorView grad = position->grad();
      check_shape("embedding_backward", "position", grad, {grad.dim(0), D});
      const bool accumulate = position->grad_mode() == GradMode::kAccumulate;
      const SumRows<E> rows{dy.rows<E>(), grad.data<float>(), D, accumulate};
      if (starts) {
        const TensorView places = exec.scratch(DType::kI32, {T});
        token_positions(exec, sequence, starts, places);
        sum_by_row<E>(exec, places, rows, grad.dim(0));
      } else {
        for_each_wide_row<128>(exec, grad.dim(0),
                               PositionGradient<E>{rows, sequence, T / sequence});
      }
    }
  });
}

}  // namespace moiety::ops
