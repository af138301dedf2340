// The parameter table: names, memory, initial values, frozen parameters, compute copies.
#include "core/model/parameter_table.h"

#include <cmath>
#include <cstring>
#include <set>

#include "core/model/initialize.h"
#include "tests/unit/device_test.h"

namespace moiety {
namespace {

class Declared final : public Component {
 public:
  explicit Declared(int64_t experts) : experts_(experts) {}
  void declare(Declarations& to) const override {
    ParamSpec matrix;
    matrix.name = "w";
    matrix.shape = {experts_, 6, 8};
    matrix.fan_in = 6;
    to.parameter(matrix);
    to.compute_gradient("w");
    ParamSpec bias;
    bias.name = "b";
    bias.shape = {experts_, 8};
    bias.init = Init::kUniform;
    bias.fan_in = 16;
    bias.decay = false;
    bias.keep_f32 = true;
    to.parameter(bias);
    to.buffer("load", DType::kF32, {experts_});
  }

 private:
  int64_t experts_;
};

class OneMoment final : public Optimizer {
 public:
  std::vector<StateSpec> state(const ParamInfo&) const override {
    return {{"m"}, {"n", DType::kF32, {1}}};
  }
  void bind(Exec&, std::span<const ParamSlice>) override {}
  void step(Exec&) const override {}
};

class ParameterTableTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    handle_ = table_.declare("layers.0.moe.experts", component_, true, 0);
    ParamSpec norm;
    norm.shape = {8};
    norm.init = Init::kOnes;
    table_.add("final_norm.weight", norm);
  }
  std::vector<float> values(const char* name) { return table_.read(*table_.find(name)); }

  Declared component_{4};
  ParameterTable table_;
  Params::Impl* handle_ = nullptr;
};

TEST_P(ParameterTableTest, NamesDtypesAndCounts) {
  table_.allocate(*context_, DType::kBF16, true);
  const Params params(handle_);
  EXPECT_EQ(params["w"].value().dtype, DType::kBF16);
  EXPECT_EQ(params["b"].value().dtype, DType::kF32);
  EXPECT_EQ(table_.find("final_norm.weight")->dtype, DType::kF32);
  EXPECT_TRUE(table_.find("layers.0.moe.experts.w")->master);
  EXPECT_FALSE(table_.find("layers.0.moe.experts.b")->master);
  EXPECT_EQ(table_.total(), 4 * 48 + 32 + 8);
  EXPECT_TRUE(table_.find("layers.0.moe.experts.load")->buffer);
  EXPECT_EQ(params["load"].grad_mode(), GradMode::kNone);
  EXPECT_EQ(table_.find("nobody"), nullptr);
  try {
    params["v"];
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("w, b, load"), std::string::npos) << e.what();
  }
  EXPECT_THROW(table_.add("later", {}), Error);
}

TEST_P(ParameterTableTest, GradientsInTheComputeDtypeWhereTheBackwardAllowsIt) {
  table_.allocate(*context_, {.compute = DType::kBF16, .gradient = DType::kBF16});
  const Params params(handle_);
  EXPECT_EQ(params["w"].grad().dtype, DType::kBF16);
  EXPECT_EQ(params["b"].grad().dtype, DType::kF32);
  EXPECT_EQ(table_.find("final_norm.weight")->parameter.grad.dtype, DType::kF32);
  EXPECT_EQ(table_.slices(OneMoment())[0].grad.dtype, DType::kBF16);
  EXPECT_THROW(table_.set_grad_mode(GradMode::kAccumulate), Error);
  ParameterTable other;
  ParamSpec plain;
  plain.shape = {3, 3};
  other.add("plain", plain);
  other.allocate(*context_, {.compute = DType::kBF16, .gradient = DType::kBF16});
  EXPECT_EQ(other.find("plain")->parameter.grad.dtype, DType::kF32);
  other.set_grad_mode(GradMode::kAccumulate);
}

/// The same weights and values in both forms, however they come in.
TEST_P(ParameterTableTest, SplitMastersHoldTheSameWeights) {
  ParameterTable split;
  split.declare("layers.0.moe.experts", component_, true, 0);
  table_.allocate(*context_, DType::kBF16, true);
  split.allocate(*context_, {.compute = DType::kBF16, .split_masters = true});
  table_.initialize(7, 0.02, 4);
  split.initialize(7, 0.02, 4);
  TableEntry &one = *table_.find("layers.0.moe.experts.w"),
             &two = *split.find("layers.0.moe.experts.w");
  EXPECT_FALSE(two.master);
  EXPECT_TRUE(two.master_low);
  EXPECT_EQ(two.master_low.ptr, split.slices(OneMoment())[0].master_low.ptr);
  const auto compare = [&] {
    const std::vector<float> a = table_.read(one), b = split.read(two);
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
    EXPECT_EQ(table_.read(one.parameter.value), split.read(two.parameter.value));
  };
  compare();
  std::vector<float> values = normal(192, 5);
  // Ties of both signs, the ends of the range, zeros, a number below the normal ones.
  const float edges[] = {0x1.01p0f, 0x1.03p0f, -0x1.01p0f, -0x1.03p0f,   0x1.fffffep127f,
                         0.f,       -0.f,      0x1p-149f,  -0x1.8p-130f, INFINITY};
  std::copy(std::begin(edges), std::end(edges), values.begin());
  table_.write(one, values);
  split.write(two, values);
  EXPECT_EQ(table_.read(one), values);
  compare();
  std::vector<float> part(50);
  split.read_part(two, 3, 50, part.data());
  EXPECT_EQ(part, std::vector<float>(values.begin() + 3, values.begin() + 53));
  table_.write(one, std::vector<float>(192, NAN));
  split.write(two, std::vector<float>(192, NAN));
  for (const float x : split.read(two)) EXPECT_TRUE(std::isnan(x));
  for (const float x : split.read(two.parameter.value)) EXPECT_TRUE(std::isnan(x));
}

TEST_P(ParameterTableTest, RefusesANameTwice) {
  EXPECT_THROW(table_.declare("layers.0.moe.experts", component_, true, 0), Error);
}

TEST_P(ParameterTableTest, InitialValuesDependOnSeedNameAndIndexAlone) {
  table_.allocate(*context_, dtype(), true);
  table_.initialize(7, 0.02, 4);
  ParameterTable other;  // another order, other neighbours
  ParamSpec norm;
  norm.shape = {3, 3};
  other.add("first", norm);
  other.declare("layers.0.moe.experts", component_, true, 0);
  other.allocate(*context_, dtype(), false);
  other.initialize(7, 0.02, 4);
  const auto w = values("layers.0.moe.experts.w");
  EXPECT_EQ(w, other.read(*other.find("layers.0.moe.experts.w")));
  other.initialize(8, 0.02, 4);
  EXPECT_NE(w, other.read(*other.find("layers.0.moe.experts.w")));
  for (const float b : values("layers.0.moe.experts.b")) EXPECT_LE(std::abs(b), 0.25f);
  EXPECT_EQ(values("final_norm.weight"), std::vector<float>(8, 1.f));
  EXPECT_NE(std::vector<float>(w.begin(), w.begin() + 48),
            std::vector<float>(w.begin() + 48, w.begin() + 96));
}

TEST_P(ParameterTableTest, IdenticalExpertsAreCopiesOfTheFirst) {
  table_.allocate(*context_, dtype(), true);
  table_.initialize(7, 0.02, 4, /*identical_experts=*/true);
  const auto w = values("layers.0.moe.experts.w");
  for (size_t i = 48; i < w.size(); ++i) EXPECT_EQ(w[i], w[i % 48]);
}

TEST_P(ParameterTableTest, FrozenParametersHaveNoGradientAndNoSlice) {
  table_.freeze({"*.experts.*"});
  EXPECT_THROW(table_.freeze({"layers.9.*"}), ConfigError);
  table_.allocate(*context_, dtype(), true);
  table_.set_grad_mode(GradMode::kAccumulate);
  const Params params(handle_);
  EXPECT_EQ(params["w"].grad_mode(), GradMode::kNone);
  EXPECT_FALSE(params["w"].grad());
  EXPECT_EQ(table_.trainable(), 8);
  const auto slices = table_.slices(OneMoment());
  ASSERT_EQ(slices.size(), 1u);
  EXPECT_EQ(slices[0].info.name, "final_norm.weight");
  EXPECT_EQ(slices[0].state[0].numel(), 8);
  EXPECT_EQ(slices[0].state[1].numel(), 1);
  EXPECT_EQ(table_.read(slices[0].state[0]), std::vector<float>(8, 0.f));
}

TEST_P(ParameterTableTest, SlicesSayWhatDecays) {
  table_.allocate(*context_, dtype(), true);
  for (const ParamSlice& slice : table_.slices(OneMoment())) {
    const bool matrix = slice.info.name == "layers.0.moe.experts.w";
    const bool bias = slice.info.name == "layers.0.moe.experts.b";
    if (matrix || bias) {
      EXPECT_EQ(slice.info.decay_scale, matrix ? 1.f : 0.f);
    }
    EXPECT_EQ(slice.info.first_expert, matrix || bias ? 0 : -1);
    EXPECT_TRUE(slice.grad);
  }
}

TEST_P(ParameterTableTest, CopiesFollowTheValue) {
  table_.allocate(*context_, dtype(), true);
  table_.initialize(3, 0.02, 4);
  const Parameter w = Params(handle_)["w"];
  const ComputeCopy same = w.compute_copy({dtype(), false});
  EXPECT_EQ(same.values.raw(), w.value().ptr);
  TableEntry& entry = *table_.find("layers.0.moe.experts.w");
  const auto check = [&] {
    const ConstTensorView turned = w.compute_copy({DType::kF32, true}).values;
    ASSERT_EQ(turned.dim(1), 8);
    ASSERT_EQ(turned.dim(2), 6);
    TensorView view =
        view_of(const_cast<void*>(turned.raw()), DType::kF32, {4, 8, 6}, context_->device());
    const auto got = table_.read(view), value = table_.read(w.value());
    for (size_t e = 0; e < 4; ++e) {
      for (size_t r = 0; r < 6; ++r) {
        for (size_t c = 0; c < 8; ++c)
          EXPECT_EQ(got[e * 48 + c * 6 + r], value[e * 48 + r * 8 + c]);
      }
    }
  };
  check();
  table_.write(entry, normal(192, 5));
  check();
  EXPECT_EQ(table_.read(entry), normal(192, 5));
  EXPECT_THROW(table_.write(entry, normal(3, 5)), Error);
}

INSTANTIATE_TEST_SUITE_P(Devices, ParameterTableTest, kFloatDevices, case_name);

TEST(InitialValues, NormalHasTheDeviationThatTheSpecAsksFor) {
  ParamSpec spec;
  spec.fan_in = 64;
  const auto deviation = [&](double init_std) {
    std::vector<float> x(100000);
    draw(initial_values(spec, initial_key(1, "w"), init_std, 8), 0, x);
    double sum = 0, square = 0;
    for (const float v : x) sum += v, square += static_cast<double>(v) * v;
    EXPECT_NEAR(sum / 1e5, 0, 5 * std::sqrt(square / 1e5) / std::sqrt(1e5));
    return std::sqrt(square / 1e5);
  };
  EXPECT_NEAR(deviation(0.02), 0.02, 3e-4);
  EXPECT_NEAR(deviation(0), 1.0 / 8, 2e-3);
  spec.residual_output = true;
  EXPECT_NEAR(deviation(0.02), 0.02 / 4, 1e-4);
}

TEST(InitialValues, APartEqualsThatPartOfTheWhole) {
  const InitialValues values{initial_key(2, "x"), Init::kNormal, 1, 0};
  std::vector<float> whole(101), part(38);
  draw(values, 0, whole);
  draw(values, 63, part);
  EXPECT_EQ(part, std::vector<float>(whole.begin() + 63, whole.end()));
}

}  // namespace
}  // namespace moiety
