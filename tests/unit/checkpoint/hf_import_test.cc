// The mappings, against the small models of the reference fixtures.
#include <gtest/gtest.h>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/hdf5.h"
#include "core/checkpoint/hf_import.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(MOIETY_SOURCE_DIR) / "tests/golden";

const NamedTensor& find(const ImportedModel& model, const std::string& name) {
  for (const NamedTensor& tensor : model.tensors) {
    if (tensor.name == name) return tensor;
  }
  throw Error("no " + name);
}

TEST(ImportHf, Gpt2KeepsConv1DWeights) {
  const ImportedModel model = import_hf(kGolden / "tiny_gpt2");
  const SafetensorsFile file(kGolden / "tiny_gpt2/model.safetensors");
  EXPECT_EQ(find(model, "layers.1.attention.qkv.weight").values,
            file.read("transformer.h.1.attn.c_attn.weight"));
  const NamedTensor& in = find(model, "layers.2.ffn.w_in");
  EXPECT_EQ(in.shape.size(), 3u);
  EXPECT_EQ(in.shape[0], 1);
  EXPECT_EQ(in.values, file.read("transformer.h.2.mlp.c_fc.weight"));
  EXPECT_NE(model.yaml.find("gelu_tanh"), std::string::npos);
}

TEST(ImportHf, MixtralTurnsAndStacksWeights) {
  const ImportedModel model = import_hf(kGolden / "tiny_mixtral");
  const SafetensorsFile file(kGolden / "tiny_mixtral/model.safetensors");
  const std::string from = "model.layers.1.";
  const NamedTensor& in = find(model, "layers.1.moe.experts.w_in");
  const int64_t d = in.shape[1], h = in.shape[3], e = 3;
  const std::string expert = from + "block_sparse_moe.experts.3.";
  const std::vector<float> gate = file.read(expert + "w1.weight"),
                           up = file.read(expert + "w3.weight"),
                           back = file.read(expert + "w2.weight");
  const NamedTensor& out = find(model, "layers.1.moe.experts.w_out");
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t j = 0; j < h; ++j) {
      const auto at = [&](int64_t which) {
        return in.values[static_cast<size_t>(((e * d + i) * 2 + which) * h + j)];
      };
      ASSERT_EQ(at(0), gate[static_cast<size_t>(j * d + i)]);
      ASSERT_EQ(at(1), up[static_cast<size_t>(j * d + i)]);
      ASSERT_EQ(out.values[static_cast<size_t>((e * h + j) * d + i)],
                back[static_cast<size_t>(i * h + j)]);
    }
  }
  const std::vector<float> k = file.read(from + "self_attn.k_proj.weight");
  const NamedTensor& qkv = find(model, "layers.1.attention.qkv.weight");
  EXPECT_EQ(qkv.values[static_cast<size_t>(d + 2)], k[static_cast<size_t>(2 * d)]);
}

TEST(ImportHf, WritesACheckpoint) {
  const TemporaryFolder folder;
  convert_hf(kGolden / "tiny_mixtral", folder / "a.h5", "1");
  EXPECT_TRUE(verify_checkpoint(folder / "a.h5").empty());
  const h5::File file(folder / "a.h5", h5::File::Mode::kRead);
  EXPECT_EQ(file.children("parameters/layers.0.moe.experts.w_in").size(), 8u);
  EXPECT_NE(read_checkpoint_info(folder / "a.h5").resolved_yaml.find("topk"), std::string::npos);
}

class ChangedModel : public testing::Test {
 protected:
  explicit ChangedModel(const char* model = "tiny_gpt2") {
    for (const char* name : {"config.json", "model.safetensors"}) {
      std::filesystem::copy_file(kGolden / model / name, folder_ / name);
      std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_all);
    }
  }
  std::string error_after(const char* name, const std::string& from, const std::string& to) {
    std::string text = contents(folder_ / name);
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    overwrite(folder_ / name, text);
    return error_of([&] { import_hf(folder_.path()); });
  }
  TemporaryFolder folder_;
};

TEST_F(ChangedModel, UnknownTensor) {
  const std::string error = error_after("config.json", "\"n_layer\": 3", "\"n_layer\": 2");
  EXPECT_NE(error.find("tensors have no place in the model: transformer.h.2."), std::string::npos)
      << error;
}
TEST_F(ChangedModel, MissingTensor) {
  const std::string error = error_after("config.json", "\"n_layer\": 3", "\"n_layer\": 4");
  EXPECT_NE(error.find("no tensor 'transformer.h.3."), std::string::npos) << error;
}
TEST_F(ChangedModel, WrongShape) {
  const std::string error = error_after("config.json", "\"vocab_size\": 96", "\"vocab_size\": 97");
  EXPECT_NE(error.find("config.json says [97, 32]"), std::string::npos) << error;
}
TEST_F(ChangedModel, UnknownSetting) {
  const std::string error = error_after("config.json", "gelu_new", "quick_gelu");
  EXPECT_NE(error.find("activation_function"), std::string::npos) << error;
}
TEST_F(ChangedModel, UnknownFamily) {
  const std::string error =
      error_after("config.json", "\"model_type\": \"gpt2\"", "\"model_type\": \"bert\"");
  EXPECT_NE(error.find("model_type 'bert' is not known; known: gpt2, llama,"), std::string::npos)
      << error;
}

class ChangedDeepSeek : public ChangedModel {
 protected:
  ChangedDeepSeek() : ChangedModel("tiny_deepseek_v3") {}
};

TEST_F(ChangedDeepSeek, SettingsThatTheModelDoesNotCompute) {
  const std::pair<const char*, const char*> changes[] = {
      {"\"attention_bias\": false", "\"attention_bias\": true"},
      {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""},
      {"\"rope_type\": \"default\"", "\"rope_type\": \"dynamic\""},
      {"\"first_k_dense_replace\": 1", "\"first_k_dense_replace\": 3"},
  };
  const std::string original = contents(folder_ / "config.json");
  for (const auto& [from, to] : changes) {
    const std::string error = error_after("config.json", from, to);
    const std::string key = std::string(from).substr(1, std::string(from).find('"', 1) - 1);
    EXPECT_NE(error.find("config.json: " + key + " is "), std::string::npos) << error;
    overwrite(folder_ / "config.json", original);
  }
}
TEST_F(ChangedDeepSeek, LatentsWithoutQueriesOfTheirOwn) {
  const std::string error =
      error_after("config.json", "\"q_lora_rank\": 16", "\"q_lora_rank\": null");
  EXPECT_NE(error.find("no tensor 'model.layers.0.self_attn.q_proj.weight'"), std::string::npos)
      << error;
}
TEST_F(ChangedDeepSeek, TheCorrectionBiasIsABuffer) {
  convert_hf(folder_.path(), folder_ / "a.h5", "1");
  const h5::File file(folder_ / "a.h5", h5::File::Mode::kRead);
  EXPECT_EQ(file.floats("buffers/layers.1.moe.gate.correction_bias"),
            SafetensorsFile(folder_ / "model.safetensors")
                .read("model.layers.1.mlp.gate.e_score_correction_bias"));
  EXPECT_EQ(read_checkpoint_info(folder_ / "a.h5").hf_config, contents(folder_ / "config.json"));
}

}  // namespace
}  // namespace moiety
