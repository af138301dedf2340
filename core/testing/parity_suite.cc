#include "core/testing/parity_suite.h"

#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace moiety::testing {

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
}

void compare_case(Parity& parity, const std::string& reference, const std::string& item,
                  const std::function<void()>& work) {
  parity.report.expect(reference, item);
  parity.report.begin(reference, item);
  try {
    work();
  } catch (const std::exception& e) {
    parity.report.fail("", e.what());
  }
}

std::optional<h5::File> open_reference(Parity& parity, const std::string& reference) {
  try {
    return h5::File(parity.golden / reference, h5::File::Mode::kRead);
  } catch (const Error& e) {
    parity.report.begin(reference, "");
    parity.report.fail("", e.what());
    return std::nullopt;
  }
}

Value value_of(const h5::Attribute& attribute, OptionType type) {
  const auto number = [&]() -> double {
    if (const auto* x = std::get_if<double>(&attribute)) return *x;
    if (const auto* x = std::get_if<int64_t>(&attribute)) return static_cast<double>(*x);
    if (const auto* x = std::get_if<uint64_t>(&attribute)) return static_cast<double>(*x);
    throw Error("expected a number");
  };
  switch (type) {
    case OptionType::kBool: return number() != 0;
    case OptionType::kInt: return static_cast<int64_t>(number());
    case OptionType::kFloat: return number();
    case OptionType::kString: return std::get<std::string>(attribute);
    case OptionType::kNumbers: return std::get<std::vector<double>>(attribute);
    case OptionType::kStrings: break;
  }
  throw Error("lists of texts are no attribute");
}

ComponentChoice choice_from(PluginRegistry& plugins, ComponentKind kind, const std::string& name,
                            const h5::File& file, const std::string& object) {
  const ComponentInfo& info = plugins.find(kind, name);
  OptionMap given;
  for (const OptionSpec& spec : info.schema) {
    if (!file.has_attribute(object, spec.name)) continue;
    given.emplace_back(spec.name, value_of(file.attribute(object, spec.name), spec.type));
  }
  return {name, complete_options(info, given)};
}

double largest_error(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) return kNaN;
  double largest = 0, scale = 1;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
    largest = error <= largest ? largest : error;  // a NaN stays
    scale = std::max(scale, std::abs(static_cast<double>(expected[i])));
  }
  return largest / scale;
}

double norm_error(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) return kNaN;
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double e = static_cast<double>(expected[i]), d = static_cast<double>(got[i]) - e;
    error += d * d;
    norm += e * e;
  }
  if (norm == 0) return error == 0 ? 0 : kNaN;
  return std::sqrt(error / norm);
}

double number_error(double got, double expected) {
  return std::abs(got - expected) / std::max(1.0, std::abs(expected));
}

double differences(const std::vector<int64_t>& got, const std::vector<int64_t>& expected) {
  if (got.size() != expected.size()) return kNaN;
  double count = 0;
  for (size_t i = 0; i < got.size(); ++i) count += got[i] != expected[i] ? 1 : 0;
  return count;
}

ParityBench::ParityBench(DeviceContext& context)
    : context_(context), memory_(context), scratch_(context) {
  control_ = memory_.make(DType::kU8, {int64_t{sizeof(ops::StepControl)}});
  rows_ = memory_.make(DType::kU8, {int64_t{sizeof(RowMap)}});
  const RowMap rows;
  upload(rows_, &rows, sizeof rows);
  set_control({});
  impl_.context = &context_;
  impl_.scratch = &scratch_;
  impl_.step = &control()->step;
  impl_.rows = static_cast<const RowMap*>(rows_.ptr);
}

void ParityBench::set_control(const ops::StepControl& control) {
  upload(control_, &control, sizeof control);
}

ops::StepControl ParityBench::read_control() {
  ops::StepControl control;
  context_.copy(&control, control_.ptr, sizeof control);
  context_.synchronize();
  return control;
}

void ParityBench::bind(RngKey purpose, const std::vector<float>& draws, int64_t width) {
  const int64_t rows = static_cast<int64_t>(draws.size()) / width;
  impl_.bound.emplace_back(purpose.purpose, put(draws, {rows, width}));
}

TensorView ParityBench::zeros(std::initializer_list<int64_t> shape) {
  const TensorView tensor = memory_.make(DType::kF32, shape);
  context_.zero(tensor.ptr, static_cast<size_t>(tensor.numel()) * sizeof(float));
  return tensor;
}

TensorView ParityBench::put(const std::vector<float>& values,
                            std::initializer_list<int64_t> shape) {
  const TensorView tensor = memory_.make(DType::kF32, shape);
  write(tensor, values);
  return tensor;
}

TensorView ParityBench::put(const std::vector<uint8_t>& values) {
  const TensorView tensor = memory_.make(DType::kU8, {static_cast<int64_t>(values.size())});
  upload(tensor, values.data(), values.size());
  return tensor;
}

void ParityBench::write(const TensorView& tensor, const std::vector<float>& values) {
  MOIETY_CHECK(tensor.numel() == static_cast<int64_t>(values.size()),
               "the file has {} values where {} were expected", values.size(), tensor.numel());
  upload(tensor, values.data(), values.size() * sizeof(float));
}

std::vector<float> ParityBench::floats(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  context_.copy(values.data(), tensor.ptr, values.size() * sizeof(float));
  context_.synchronize();
  return values;
}

std::vector<int32_t> ParityBench::integers(const TensorView& tensor) {
  std::vector<int32_t> values(static_cast<size_t>(tensor.numel()));
  context_.copy(values.data(), tensor.ptr, values.size() * sizeof(int32_t));
  context_.synchronize();
  return values;
}

void ParityBench::upload(const TensorView& tensor, const void* host, size_t bytes) {
  context_.copy(tensor.ptr, host, bytes);
  context_.synchronize();
}

}  // namespace moiety::testing
