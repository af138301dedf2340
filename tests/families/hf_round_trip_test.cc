// Hugging Face to Moiety and back: every bit of every tensor, its dtype, and the configuration.
#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/checkpoint/hdf5.h"
#include "core/checkpoint/hf_export.h"
#include "core/checkpoint/hf_import.h"
#include "core/checkpoint/safetensors_writer.h"
#include "tests/families/family_test.h"

namespace moiety {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(MOIETY_SOURCE_DIR) / "tests/golden";

class HfRoundTrip : public FamilyTest {
 protected:
  RunConfig config_of(const std::filesystem::path& checkpoint) {
    return parse(read_checkpoint_info(checkpoint).resolved_yaml);
  }
  /// Imports `from` and exports it to `to`.
  ExportedModel round(const std::filesystem::path& from, const std::string& to,
                      const ExportOptions& options = {}) {
    const std::filesystem::path file = folder_ / (to + ".h5");
    convert_hf(from, file, "test");
    return export_hf(file, config_of(file), folder_ / to, options);
  }
};

class HfFamilies : public HfRoundTrip, public ::testing::WithParamInterface<const char*> {};

TEST_P(HfFamilies, FilesComeBackAsTheyWere) {
  const std::filesystem::path from = kGolden / GetParam();
  round(from, "back");
  const std::string original = contents(from / "model.safetensors");
  EXPECT_TRUE(contents(folder_ / "back" / "model.safetensors") == original);
  EXPECT_EQ(contents(folder_ / "back" / "config.json"), contents(from / "config.json"));
}

/// config.json from the model's own configuration, over the original: nothing may change in it.
TEST_P(HfFamilies, TheConfigurationIsThatOfTheOriginal) {
  const std::filesystem::path from = kGolden / GetParam();
  ExportOptions options;
  options.base_config = from / "config.json";
  round(from, "back", options);
  const Json original = Json::parse(contents(from / "config.json"));
  const Json written = Json::parse(contents(folder_ / "back" / "config.json"));
  for (const auto& [key, value] : original.object()) {
    if (value.is_null()) continue;  // a default: below
    const Json& got = written.at(key);
    if (value.is_number()) {
      EXPECT_EQ(got.number(), value.number()) << key;
    } else {
      EXPECT_EQ(got.dump(), value.dump()) << key;
    }
  }
  EXPECT_EQ(hf_config_yaml(folder_ / "back"), hf_config_yaml(from));
}

TEST_P(HfFamilies, ShardsAreReadBack) {
  const std::filesystem::path from = kGolden / GetParam();
  ExportOptions options;
  options.shard_bytes = 40'000;
  const ExportedModel sharded = round(from, "sharded", options);
  EXPECT_GT(sharded.shards, 2u);
  uint64_t total = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "sharded")) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile shard(entry.path());
    for (const auto& [name, tensor] : shard.entries()) total += tensor.end - tensor.begin;
  }
  const Json index = Json::parse(contents(folder_ / "sharded" / "model.safetensors.index.json"));
  EXPECT_EQ(index.at("metadata").at("total_size").integer(), static_cast<int64_t>(total));
  EXPECT_EQ(index.at("weight_map").object().size(), sharded.tensors);
  round(folder_ / "sharded", "whole");
  EXPECT_TRUE(contents(folder_ / "whole" / "model.safetensors") ==
              contents(from / "model.safetensors"));
}

/// Every tensor in a dtype of its own, the parts of fused ones too.
TEST_P(HfFamilies, DtypesAreKept) {
  const std::filesystem::path from = kGolden / GetParam(), mixed = folder_ / "mixed";
  std::filesystem::create_directory(mixed);
  std::filesystem::copy_file(from / "config.json", mixed / "config.json");
  const SafetensorsFile file(from / "model.safetensors");
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, entry] : file.entries()) {
    const DType dtypes[] = {DType::kBF16, DType::kF32, DType::kF16};
    entries.push_back({name, dtypes[entries.size() % 3], entry.shape});
  }
  SafetensorsWriter writer(mixed / "model.safetensors", entries);
  for (const SafetensorsEntry& entry : entries) {
    const std::vector<float> values = file.read(entry.name);
    std::vector<uint16_t> narrow;
    for (const float x : values) {
      narrow.push_back(entry.dtype == DType::kBF16 ? BFloat16(x).bits : Float16(x).bits);
    }
    const bool f32 = entry.dtype == DType::kF32;
    writer.write(entry.name, f32 ? static_cast<const void*>(values.data()) : narrow.data());
  }
  writer.finish();
  round(mixed, "back");
  EXPECT_TRUE(contents(folder_ / "back" / "model.safetensors") ==
              contents(mixed / "model.safetensors"));
  // And as a model: the weights are those, rounded.
  const RunConfig config = config_of(folder_ / "back.h5");
  const std::unique_ptr<Model> model = make_model(config, plugins_, context_);
  load_weights(folder_ / "back.h5", model->parameters());
  for (const NamedTensor& tensor : import_hf(mixed).tensors) {
    const TableEntry* entry = model->parameters().find(tensor.name);
    EXPECT_EQ(model->parameters().read(*entry), tensor.values) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, HfFamilies,
                         ::testing::Values("tiny_gpt2", "tiny_llama", "tiny_mixtral", "tiny_olmoe",
                                           "tiny_qwen3_moe", "tiny_deepseek_v3"),
                         [](const auto& name) { return std::string(name.param); });

TEST_F(HfRoundTrip, OneDtypeForAllParameters) {
  ExportOptions options;
  options.dtype = DType::kBF16;
  round(kGolden / "tiny_llama", "half", options);
  const SafetensorsFile half(folder_ / "half" / "model.safetensors");
  const SafetensorsFile whole(kGolden / "tiny_llama/model.safetensors");
  for (const auto& [name, entry] : half.entries()) {
    EXPECT_EQ(entry.dtype, "BF16");
    std::vector<float> expected = whole.read(name);
    for (float& x : expected) x = static_cast<float>(BFloat16(x));
    EXPECT_EQ(half.read(name), expected) << name;
  }
  const Json config = Json::parse(contents(folder_ / "half" / "config.json"));
  EXPECT_EQ(config.at("dtype").string(), "bfloat16");
  EXPECT_EQ(config.at("bos_token_id").integer(), 1);  // of the imported one
}

/// A run's own checkpoint: no config.json to go by, masters in f32, optimizer state beside them.
TEST_F(HfRoundTrip, AModelOfOurOwnCanBeImported) {
  const RunConfig config = parse(
      "model:\n  layers: 2\n  hidden: 24\n  heads: 2\n  head_dim: 8\n  qk_norm: head\n"
      "  ffn_hidden: 20\n  vocab_size: 30\n  sequence_length: 8\n  norm: rmsnorm\n"
      "  activation: swiglu\n  positions: rope\n  bias: false\n"
      "train_batch_size: 1\ndata:\n  type: synthetic\n");
  const std::unique_ptr<Model> model = build(config);
  save(config, *model, folder_ / "own.h5");
  const ExportedModel exported = export_hf(folder_ / "own.h5", config, folder_ / "out");
  EXPECT_EQ(exported.model_type, "qwen3");
  convert_hf(folder_ / "out", folder_ / "again.h5", "test");
  const RunConfig again = config_of(folder_ / "again.h5");
  const std::unique_ptr<Model> other = make_model(again, plugins_, context_);
  load_weights(folder_ / "again.h5", other->parameters());
  EXPECT_EQ(logits(again, *other), logits(config, *model));
}

TEST_F(HfRoundTrip, ScaledPositionsComeBack) {
  const std::string plain = "\"rope_theta\": 10000.0,\n    \"rope_type\": \"default\"";
  const std::string types[] = {
      "\"rope_theta\": 5000.0, \"rope_type\": \"llama3\", \"factor\": 8.0, "
      "\"original_max_position_embeddings\": 32, \"low_freq_factor\": 1.5, "
      "\"high_freq_factor\": 4.0",
      "\"rope_theta\": 5000.0, \"rope_type\": \"yarn\", \"factor\": 4.0, "
      "\"original_max_position_embeddings\": 16, \"beta_fast\": 30.0, \"beta_slow\": 2.0"};
  for (const std::string& type : types) {
    const std::filesystem::path folder = folder_ / std::to_string(type.size());
    std::filesystem::copy(kGolden / "tiny_llama", folder);
    std::filesystem::permissions(folder / "config.json", std::filesystem::perms::owner_all);
    std::string text = contents(folder / "config.json");
    ASSERT_NE(text.find(plain), std::string::npos);
    text.replace(text.find(plain), plain.size(), type);
    overwrite(folder / "config.json", text);
    ExportOptions options;
    options.base_config = folder / "config.json";
    round(folder, "back" + std::to_string(type.size()), options);
    const Json rope =
        Json::parse(contents(folder_ / ("back" + std::to_string(type.size())) / "config.json"))
            .at("rope_parameters");
    EXPECT_EQ(rope.dump(), Json::parse("{" + type + "}").dump());
  }
}

TEST_F(HfRoundTrip, WhatHasNoPlaceIsAnError) {
  convert_hf(kGolden / "tiny_llama", folder_ / "a.h5", "test");
  RunConfig config = config_of(folder_ / "a.h5");
  ExportOptions options;
  options.base_config = kGolden / "tiny_llama/config.json";
  config.model.layers = 2;
  std::string error =
      error_of([&] { export_hf(folder_ / "a.h5", config, folder_ / "b", options); });
  EXPECT_NE(error.find("unknown to the model: /parameters/layers.2.attention.out.weight"),
            std::string::npos)
      << error;
  config.model.layers = 4;
  error = error_of([&] { export_hf(folder_ / "a.h5", config, folder_ / "b", options); });
  EXPECT_NE(error.find("missing in the file: /parameters/layers.3."), std::string::npos) << error;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b"));
}

TEST_F(HfRoundTrip, WhatTheFamilyDoesNotHaveIsListed) {
  convert_hf(kGolden / "tiny_llama", folder_ / "a.h5", "test");
  RunConfig config = config_of(folder_ / "a.h5");
  config.model.bias = true, config.model.positions = "none";
  ExportOptions options;
  options.base_config = kGolden / "tiny_llama/config.json";
  const std::string error =
      error_of([&] { export_hf(folder_ / "a.h5", config, folder_ / "b", options); });
  EXPECT_NE(error.find("cannot be written as llama"), std::string::npos) << error;
  EXPECT_NE(error.find("model.positions is none, expected rope"), std::string::npos) << error;
  EXPECT_NE(error.find("model.bias is true, expected false"), std::string::npos) << error;
}

TEST_F(HfRoundTrip, WeightsAreNotOverwritten) {
  round(kGolden / "tiny_llama", "back");
  const std::string error = error_of(
      [&] { export_hf(folder_ / "back.h5", config_of(folder_ / "back.h5"), folder_ / "back"); });
  EXPECT_NE(error.find("has weights already (model.safetensors)"), std::string::npos) << error;
}

TEST_F(HfRoundTrip, TensorsCanBeIgnoredByPattern) {
  std::filesystem::copy(kGolden / "tiny_llama", folder_ / "less");
  const std::string text = contents(folder_ / "less" / "config.json");
  std::string changed = text;
  const std::string from = "\"num_hidden_layers\": 3";
  changed.replace(changed.find(from), from.size(), "\"num_hidden_layers\": 2");
  std::filesystem::permissions(folder_ / "less" / "config.json", std::filesystem::perms::owner_all);
  overwrite(folder_ / "less" / "config.json", changed);
  EXPECT_NE(error_of([&] { convert_hf(folder_ / "less", folder_ / "a.h5", "test"); }), "");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.h5"));
  convert_hf(folder_ / "less", folder_ / "a.h5", "test", {"model.layers.2.*"});
  EXPECT_EQ(config_of(folder_ / "a.h5").model.layers, 2);
}

}  // namespace
}  // namespace moiety
