// The tokens of a batch by id, so that each row of the embedding's gradient is summed by one owner
// in a fixed order.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

struct TokenOrder {
  TensorView offset;  // i32 [V + 1]: where the tokens of each id begin in `order`
  TensorView order;   // i32 [T]: token indices, sorted by id, earlier tokens first
};

namespace cpu {
/// Memory is exec's scratch. Ids outside 0 to V - 1 are left out.
TokenOrder sort_tokens(Exec& exec, ConstTensorView ids, int64_t vocabulary);
}  // namespace cpu
namespace cuda {
TokenOrder sort_tokens(Exec& exec, ConstTensorView ids, int64_t vocabulary);
}  // namespace cuda

}  // namespace moiety::ops
