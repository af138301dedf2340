// The same choices of experts laid out as the core may hand them over.
#pragma once

#include <cstdint>
#include <vector>

namespace moiety::testing {

/// (token, expert) pairs that were kept, in the plan's order.
struct Choice {
  int32_t token, expert;
};

/// kSorted: segments one after the other. kPadded: [E, C], with room after each. kReceived: as an
/// all-to-all between two ranks leaves them, [2, L] segments with gaps over rows of their own.
enum class SlotLayout : uint8_t { kSorted, kPadded, kReceived };

struct SlotPlan {
  std::vector<int32_t> start, count;  // [G]
  std::vector<int32_t> row;           // [N]; -1 in padding
  std::vector<int32_t> slot;          // of each choice
  int64_t rows = 0;                   // of x
  std::vector<int32_t> token;         // [rows]: the token that a row of x holds; -1 = nobody's
};

/// Two experts for every token, every seventh choice dropped, expert 3 empty.
std::vector<Choice> usual_choices(int64_t tokens, int64_t experts);
SlotPlan lay_out(const std::vector<Choice>& choices, int64_t tokens, int64_t experts, SlotLayout);

}  // namespace moiety::testing
