// Options: what is accepted, what is said otherwise, and the completion with defaults.
#include "core/plugin/option_check.h"

#include <cmath>

#include "tests/unit/plugin/fixture.h"

namespace moiety {
namespace {

struct Options {
  bool drop = true;
  int64_t k = 2;
  float factor = 0.1f;
  double open = 1;
  std::string policy = "none", path = "/data";
  std::vector<double> betas = {0.9, 0.95};
  std::vector<std::string> names = {};
  static void describe(Schema<Options>& s) {
    s.field("drop", &Options::drop, "drop tokens");
    s.field("k", &Options::k, "experts per token").range(1, 8);
    s.field("factor", &Options::factor, "a factor").range(0, 1);
    s.field("open", &Options::open, "at least zero").range(0, 1e300);
    s.field("policy", &Options::policy, "noise").one_of({"none", "rsample"});
    s.field("betas", &Options::betas, "decay rates").range(0, 1).length(2);
    s.field("names", &Options::names, "any names");
    s.field("path", &Options::path, "where the data lies").example(std::string("/data/x"));
  }
};

ComponentInfo component() {
  ComponentInfo info;
  info.name = "acme";
  Options options;
  Schema<Options> schema(&options, nullptr, &info.schema);
  Options::describe(schema);
  return info;
}

std::string problem(const std::string& name, const Value& value) {
  OptionMap given = {{name, value}};
  if (name != "path") given.emplace_back("path", std::string("/x"));
  return message_of<ConfigError>([&] { complete_options(component(), given); });
}

TEST(Options, DefaultsFillWhatIsNotGiven) {
  const OptionMap all =
      complete_options(component(), {{"path", std::string("/x")}, {"k", int64_t{4}}});
  ASSERT_EQ(all.size(), 8u);
  EXPECT_EQ(all[0].first, "drop") << "in the schema's order";
  EXPECT_EQ(std::get<int64_t>(all[1].second), 4);
  EXPECT_EQ(std::get<double>(all[2].second), 0.1) << "a float's default is shown as written";
  EXPECT_EQ(std::get<std::string>(all[7].second), "/x");
}

TEST(Options, AnIntegerIsANumber) {
  const OptionMap all =
      complete_options(component(), {{"path", std::string("/x")}, {"open", int64_t{3}}});
  EXPECT_EQ(std::get<double>(all[3].second), 3.0);
}

TEST(Options, EachProblemInItsWords) {
  EXPECT_EQ(problem("k", std::string("two")),
            "gating 'acme': k: expected an integer in [1, 8], got 'two' (experts per token)");
  EXPECT_EQ(problem("k", int64_t{9}),
            "gating 'acme': k: expected an integer in [1, 8], got 9 (experts per token)");
  EXPECT_EQ(problem("k", 2.5),
            "gating 'acme': k: expected an integer in [1, 8], got 2.5 (experts per token)");
  EXPECT_EQ(problem("open", -1.0),
            "gating 'acme': open: expected a number >= 0, got -1 (at least zero)");
  EXPECT_EQ(problem("open", std::nan("")),
            "gating 'acme': open: expected a number >= 0, got nan (at least zero)");
  EXPECT_EQ(problem("drop", int64_t{1}),
            "gating 'acme': drop: expected true or false, got 1 (drop tokens)");
  EXPECT_EQ(problem("policy", std::string("rsampel")),
            "gating 'acme': policy: expected one of none, rsample, got 'rsampel'; did you mean "
            "'rsample'? (noise)");
  EXPECT_EQ(problem("betas", std::vector<double>{0.9}),
            "gating 'acme': betas: expected a list of 2 numbers in [0, 1], got [0.9] (decay "
            "rates)");
  EXPECT_EQ(problem("betas", std::vector<double>{0.9, 2}),
            "gating 'acme': betas: expected a list of 2 numbers in [0, 1], got [0.9, 2] (decay "
            "rates)");
}

TEST(Options, UnknownMissingTwice) {
  EXPECT_EQ(problem("polcy", true),
            "gating 'acme' has no option 'polcy'; it has: drop, k, factor, open, policy, betas, "
            "names, path; did you mean 'policy'?");
  EXPECT_EQ(message_of<ConfigError>([] { complete_options(component(), {}); }),
            "gating 'acme' needs the option 'path' (where the data lies)");
  EXPECT_EQ(message_of<ConfigError>([] {
              complete_options(component(), {{"k", int64_t{1}}, {"k", int64_t{2}}});
            }),
            "gating 'acme': option 'k' is given twice");
}

TEST(Options, EmptyListsTakeTheOptionsType) {
  EXPECT_EQ(problem("names", std::vector<double>{}), "(no exception)");
}

TEST(Options, ASoundSchemaHasNoProblems) {
  EXPECT_TRUE(schema_problems(component().schema).empty());
  auto schema = component().schema;
  schema[1].name = "K", schema[2].min = 2, schema[7].fallback = int64_t{1};
  EXPECT_EQ(schema_problems(schema),
            (std::vector<std::string>{
                "option 'K' has a name that is not like_this", "option 'factor' has an empty range",
                "option 'factor' has a bad default: expected a number in [2, 1], got 0.1",
                "option 'path' has a bad example: expected a text, got 1"}));
}

}  // namespace
}  // namespace moiety
