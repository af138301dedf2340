// The words that the gate adds to an exception.
#include "core/plugin/gate.h"

#include <stdexcept>

#include "tests/unit/plugin/fixture.h"

namespace moiety {
namespace {

TEST(Gate, ReturnsWhatTheCallReturns) {
  int value = 3;
  int& same = in_plugin("gating 'acme' 0.3", "forward", 0, [&]() -> int& { return value; });
  EXPECT_EQ(&same, &value);
}

TEST(Gate, SaysWho) {
  EXPECT_EQ(message_of<PluginError>([] {
              in_plugin("gating 'acme' 0.3", "backward", 7,
                        [] { throw Error("dtype f16 is not supported"); });
            }),
            "gating 'acme' 0.3 failed in backward (layer 7): dtype f16 is not supported");
  EXPECT_EQ(message_of<PluginError>([] {
              in_plugin("gating", "acme", "end_step", -1, [] { throw std::out_of_range("key"); });
            }),
            "gating 'acme' failed in end_step: key");
}

TEST(Gate, AConfigErrorStaysOne) {
  EXPECT_EQ(message_of<ConfigError>([] {
              in_plugin("gating 'acme' 0.3", "plan_shape", 7,
                        [] { throw ConfigError("k is above the number of experts"); });
            }),
            "gating 'acme' 0.3 (layer 7): k is above the number of experts");
}

TEST(Gate, AnythingMayBeThrown) {
  EXPECT_EQ(
      message_of<PluginError>([] { in_plugin("expert 'a' 1", "forward", 0, [] { throw 42; }); }),
      "expert 'a' 1 failed in forward (layer 0): threw something that is not a "
      "std::exception");
}

TEST(Gate, TheInnermostGateSpeaks) {
  EXPECT_EQ(message_of<PluginError>([] {
              in_plugin("outer", "step", -1,
                        [] { in_plugin("inner", "forward", 1, [] { throw Error("x"); }); });
            }),
            "inner failed in forward (layer 1): x");
}

}  // namespace
}  // namespace moiety
