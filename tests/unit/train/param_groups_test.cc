// optimizer.groups on a parameter table.
#include "core/train/param_groups.h"

#include <gtest/gtest.h>

#include <map>

namespace moiety {
namespace {

class AnyState final : public Optimizer {
 public:
  std::vector<StateSpec> state(const ParamInfo&) const override { return {}; }
  void bind(Exec&, std::span<const ParamSlice>) override {}
  void step(Exec&) const override {}
};

class ParamGroups : public testing::Test {
 protected:
  ParamGroups() {
    add("embedding.token", {4, 3});
    add("layers.0.attention.qkv.weight", {3, 9});
    add("layers.0.attention.qkv.bias", {9});
    add("layers.1.moe.experts.w_in", {2, 3, 5}, true);
    add("layers.1.moe.experts.b_in", {2, 5}, true);
  }
  void add(const std::string& name, std::vector<int64_t> shape, bool expert = false) {
    ParamSpec spec;
    spec.shape = std::move(shape);
    table_.add(name, spec);
    table_.find(name)->expert = expert;
  }
  std::map<std::string, ParamInfo> infos() {
    table_.allocate(context_, DType::kF32, /*gradients=*/true);
    std::map<std::string, ParamInfo> infos;
    for (const ParamSlice& slice : table_.slices(AnyState())) infos[slice.info.name] = slice.info;
    return infos;
  }
  static ParamGroup group(std::vector<std::string> match, double lr,
                          std::optional<double> decay = {}) {
    return {std::move(match), lr, decay, "a.yaml:3:5: optimizer.groups[0].match"};
  }
  std::string error(const std::vector<ParamGroup>& groups) {
    try {
      apply_param_groups(groups, table_);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  }

  DeviceContext context_{Device{}};
  ParameterTable table_;
};

TEST_F(ParamGroups, WithoutGroupsVectorsDoNotDecay) {
  auto p = infos();
  for (const auto& [name, info] : p) EXPECT_EQ(info.lr_scale, 1) << name;
  EXPECT_EQ(p["embedding.token"].decay_scale, 1);
  EXPECT_EQ(p["layers.0.attention.qkv.weight"].decay_scale, 1);
  EXPECT_EQ(p["layers.0.attention.qkv.bias"].decay_scale, 0);
  EXPECT_EQ(p["layers.1.moe.experts.w_in"].decay_scale, 1);
  EXPECT_EQ(p["layers.1.moe.experts.b_in"].decay_scale, 0);  // a vector of each expert
}

TEST_F(ParamGroups, TheFirstGroupThatMatchesHolds) {
  apply_param_groups({group({"*.experts.w_*", "embedding.*"}, 0.5, 0.25), group({"*.experts.*"}, 2),
                      group({"*.bias"}, 1, 3)},
                     table_);
  auto p = infos();
  EXPECT_EQ(p["embedding.token"].lr_scale, 0.5f);
  EXPECT_EQ(p["layers.1.moe.experts.w_in"].lr_scale, 0.5f);
  EXPECT_EQ(p["layers.1.moe.experts.w_in"].decay_scale, 0.25f);
  EXPECT_EQ(p["layers.1.moe.experts.b_in"].lr_scale, 2);
  EXPECT_EQ(p["layers.1.moe.experts.b_in"].decay_scale, 0);  // not given: by kind
  EXPECT_EQ(p["layers.0.attention.qkv.bias"].decay_scale, 3);
  EXPECT_EQ(p["layers.0.attention.qkv.weight"].lr_scale, 1);
}

TEST_F(ParamGroups, TheStartOfARunListsThem) {
  const std::vector<ParamGroup> groups = {group({"*.w_in", "embedding.*"}, 0.5, 0),
                                          group({"*.experts.*"}, 2)};
  apply_param_groups(groups, table_);
  infos();
  EXPECT_EQ(param_groups_report(groups, table_),
            "group       *.w_in embedding.*: 42 in 2 tensors, rate x 0.5, decay x 0\n"
            "group       *.experts.*: 10 in 1 tensors, rate x 2\n");
}

TEST_F(ParamGroups, APatternThatMatchesNothingIsAnErrorWithCandidates) {
  EXPECT_EQ(error({group({"embedding.tokens"}, 1)}),
            "a.yaml:3:5: optimizer.groups[0].match: 'embedding.tokens' matches no parameter; did "
            "you mean 'embedding.token'?");
  EXPECT_EQ(error({group({"*.expert.*"}, 1)}),
            "a.yaml:3:5: optimizer.groups[0].match: '*.expert.*' matches no parameter; there are "
            "embedding.token, layers.0.attention.qkv.weight, layers.0.attention.qkv.bias, "
            "layers.1.moe.experts.w_in, layers.1.moe.experts.b_in");
}

TEST_F(ParamGroups, AGroupThatIsLeftEmptyIsAnError) {
  EXPECT_EQ(error({group({"*"}, 1), group({"embedding.*"}, 2)}),
            "a.yaml:3:5: optimizer.groups[0].match: every parameter of this group is in a group "
            "before it; a parameter belongs to the first that matches, so put the narrower pattern "
            "first");
}

}  // namespace
}  // namespace moiety
