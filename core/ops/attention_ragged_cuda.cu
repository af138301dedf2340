#include "core/ops/attention_ragged_cuda.h"

#include <string>

#include <moiety/rows.cuh>

#include "core/ops/attention_backend.h"

namespace moiety::ops::cuda {

namespace {

constexpr int kMostTensors = 9;

struct WriteRagged {
  const int32_t* begins;  // [documents + 1]
  int64_t documents;
  int32_t* lengths;
  int64_t* offsets;  // [tensors, documents + 1]
  int64_t row_elements[kMostTensors];
  int tensors;

  MOIETY_HD void operator()(int64_t document) const {
    const int64_t begin = begins[document];
    for (int i = 0; i < tensors; ++i) {
      offsets[i * (documents + 1) + document] = begin * row_elements[i];
    }
    if (document < documents) lengths[document] = begins[document + 1] - begins[document];
  }
};

/// Number i of log_sum, and where it lies in the rows.
struct LogSumPlace {
  int64_t heads, sequence;
  MOIETY_HD int64_t in_rows(int64_t i) const {
    const int64_t place = i % sequence, head = i / sequence % heads, batch = i / sequence / heads;
    return (batch * sequence + place) * heads + head;
  }
};

struct GatherLogSum {
  LogSumPlace place;
  const float* rows;
  float* log_sum;
  MOIETY_HD void operator()(int64_t i) const { log_sum[i] = rows[place.in_rows(i)]; }
};

struct ScatterLogSum {
  LogSumPlace place;
  const float* log_sum;
  float* rows;
  MOIETY_HD void operator()(int64_t i) const { rows[place.in_rows(i)] = log_sum[i]; }
};

}  // namespace

Ragged ragged(Exec& exec, const Documents& documents, const std::vector<int64_t>& row_elements) {
  const auto tensors = static_cast<int64_t>(row_elements.size());
  const int64_t M = documents.listed();
  if (tensors > kMostTensors) throw Error("ragged: more tensors than there is room for");
  WriteRagged write{};
  write.begins = documents.begins.data<int32_t>(), write.documents = M;
  write.lengths = exec.scratch(DType::kI32, {M}).data<int32_t>();
  write.offsets = exec.scratch(DType::kI64, {tensors, M + 1}).data<int64_t>();
  Ragged out{write.lengths, {}};
  for (const int64_t elements : row_elements) {
    out.offsets.push_back(write.offsets + write.tensors * (M + 1));
    write.row_elements[write.tensors++] = elements;
  }
  for_each_row(exec, M + 1, write);
  return out;
}

void log_sum_from_rows(Exec& exec, const AttentionShape& shape, const float* rows,
                       TensorView log_sum) {
  for_each_row(exec, log_sum.numel(),
               GatherLogSum{{shape.heads, shape.sequence}, rows, log_sum.data<float>()});
}

void rows_from_log_sum(Exec& exec, const AttentionShape& shape, ConstTensorView log_sum,
                       float* rows) {
  for_each_row(exec, log_sum.numel(),
               ScatterLogSum{{shape.heads, shape.sequence}, log_sum.data<float>(), rows});
}

}  // namespace moiety::ops::cuda
