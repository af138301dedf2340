#include "core/ops/attention.h"

#include "core/base/check.h"
#include "core/ops/attention_backend.h"
#include "core/ops/backend.h"
#include "core/ops/shape_checks.h"

namespace moiety::ops {

namespace {

void check(const char* op, const AttentionShape& s, ConstTensorView qkv, ConstTensorView out,
           ConstTensorView log_sum, const Documents& documents) {
  MOIETY_CHECK(s.heads >= 1 && s.kv_heads >= 1 && s.heads % s.kv_heads == 0,
               "{}: {} heads cannot share {} key and value heads evenly", op, s.heads, s.kv_heads);
  MOIETY_CHECK(s.head_dim >= 1 && s.head_dim <= 256, "{}: head_dim is {}, supported are 1 to 256",
               op, s.head_dim);
  MOIETY_CHECK(s.values() >= 1 && s.values() <= 256, "{}: value_dim is {}, supported are 1 to 256",
               op, s.values());
  MOIETY_CHECK(s.dropout >= 0 && s.dropout < 1, "{}: dropout {} is not in [0, 1)", op, s.dropout);
  const int64_t tokens = s.batch * s.sequence;
  check_shape(op, "qkv", qkv, {tokens, s.qkv_width()});
  check_shape(op, "out", out, {tokens, s.out_width()});
  check_same_dtype(op, "out", out, qkv.dtype);
  check_shape(op, "log_sum", log_sum, {s.batch, s.heads, s.sequence});
  if (!documents) return;
  check_shape(op, "documents.starts", documents.starts, {tokens});
  check_same_dtype(op, "documents.starts", documents.starts, DType::kI32);
}

}  // namespace

void attention(Exec& exec, const AttentionShape& shape, ConstTensorView qkv, TensorView out,
               TensorView log_sum, const Documents& documents) {
  check("attention", shape, qkv, out, log_sum, documents);
  if (shape.batch * shape.sequence == 0) return;
  MOIETY_BACKEND(exec, attention, exec, shape, qkv, out, log_sum, documents);
}

void attention_backward(Exec& exec, const AttentionShape& shape, ConstTensorView qkv,
                        ConstTensorView out, ConstTensorView log_sum, ConstTensorView dout,
                        TensorView dqkv, const Documents& documents) {
  check("attention_backward", shape, qkv, out, log_sum, documents);
  check_shape("attention_backward", "dout", dout, {out.dim(0), out.dim(1)});
  check_shape("attention_backward", "dqkv", dqkv, {qkv.dim(0), qkv.dim(1)});
  check_same_dtype("attention_backward", "dout", dout, qkv.dtype);
  check_same_dtype("attention_backward", "dqkv", dqkv, qkv.dtype);
  if (shape.batch * shape.sequence == 0) return;
  MOIETY_BACKEND(exec, attention_backward, exec, shape, qkv, out, log_sum, dout, dqkv, documents);
}

}  // namespace moiety::ops
