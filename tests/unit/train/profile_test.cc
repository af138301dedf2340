// Profiled steps: a scope nested in another appears under its own name, in both lanes, within it.
#include "core/train/profile.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class ProfileTest : public DeviceTest {};

void record_step(StepProfile& profile, const DeviceContext& context, int64_t step) {
  PhaseTimer timer(context);
  timer.begin("outer");
  timer.begin("inner");
  timer.end();
  timer.begin("inner");
  timer.end();
  timer.end();
  profile.add(step, timer);
}

TEST_P(ProfileTest, TraceNestsScopesAndStepsFollowEachOther) {
  StepProfile profile;
  record_step(profile, *context_, 7);
  record_step(profile, *context_, 8);
  ASSERT_EQ(profile.steps(), 2);
  const Json trace = Json::parse(profile.chrome_trace());
  std::map<std::string, int> count;
  std::map<int64_t, double> end_of_outer;  // by lane
  for (const Json& event : trace.at("traceEvents").array()) {
    if (event.at("ph").string() == "M") continue;
    const std::string name = event.at("name").string();
    const int64_t lane = event.at("tid").integer();
    const double begin = event.at("ts").number(), end = begin + event.at("dur").number();
    ++count[name];
    if (name == "outer") {
      EXPECT_GE(begin, end_of_outer[lane]) << "steps overlap";
      end_of_outer[lane] = end;
    } else {
      EXPECT_LE(end, end_of_outer[lane]) << "a scope leaves the one around it";
    }
  }
  EXPECT_EQ(count["outer"], 4);  // two steps, two lanes
  EXPECT_EQ(count["inner"], 8);
}

TEST_P(ProfileTest, TableCountsCallsOfAStep) {
  StepProfile profile;
  record_step(profile, *context_, 1);
  record_step(profile, *context_, 2);
  const std::string table = profile.table(/*tokens=*/1000);
  EXPECT_NE(table.find("outer"), table.npos);
  EXPECT_NE(table.find("over 2 step(s)"), table.npos);
  const size_t inner = table.find("inner");
  ASSERT_NE(inner, table.npos);
  const std::string line = table.substr(inner, table.find('\n', inner) - inner);
  EXPECT_EQ(line.substr(line.size() - 2), " 2") << line;
}

INSTANTIATE_TEST_SUITE_P(Devices, ProfileTest, kF32Devices, case_name);

}  // namespace
}  // namespace moiety
