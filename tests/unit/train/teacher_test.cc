// A student beside its teacher: what the step learns, what the stop gives back, what is refused.
#include "core/train/teacher.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/load.h"
#include "core/train/batch_loader.h"
#include "core/train/trainer.h"
#include "tests/unit/checkpoint/temporary_folder.h"

namespace moiety {
namespace {

constexpr const char* kConfig = R"(
schema_version: 1
run: {steps: 6, device: cpu, threads: 2, deterministic: true}
model: {layers: 2, hidden: 32, heads: 2, ffn_hidden: 64, vocab_size: 32, sequence_length: 16}
moe:
  num_experts: 4
  expert_interval: 1
  gate: {type: top1, params: {use_rts: true, capacity_factor: 1.0}}
data: {type: synthetic, params: {branching: 2, train_samples: 13}}
optimizer: {type: adamw, params: {lr: 3e-3}}
train_micro_batch_size_per_gpu: 2
gradient_accumulation_steps: 2
)";
using Overrides = std::vector<std::string>;

Overrides operator+(Overrides a, const Overrides& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class TeacherTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string why = cuda_unavailable(), device = GetParam();
    if (device != "cuda" || why.empty()) return;
    const char* required = std::getenv("MOIETY_REQUIRE_GPU");
    if (required != nullptr && std::string(required) == "1") FAIL() << why;
    GTEST_SKIP() << why;
  }

  RunConfig config(const Overrides& overrides) {
    return parse_config(kConfig, "teacher_test",
                        {Overrides{std::string("run.device=") + GetParam()} + overrides, 1},
                        registry_);
  }
  /// Trains into folder/`name`.
  void train(const std::string& name, const Overrides& overrides, bool resume = false) {
    const RunConfig c = config(overrides);
    const std::filesystem::path to = folder_ / name;
    Trainer trainer(c, registry_, resume ? RunDirectory::open(to) : RunDirectory::create(to),
                    {resume, false});
    ASSERT_EQ(trainer.run(), Outcome::kFinished);
  }
  std::string run_of(const std::string& name) const { return (folder_ / name).string(); }
  Overrides learns_from(const std::string& teacher, const std::string& more = "") const {
    return {"objective={type: mos, params: {teacher: '" + run_of(teacher) + "'" + more + "}}"};
  }
  /// All weights of the newest checkpoint of a run, as they were saved.
  std::vector<float> weights(const std::string& name, int64_t step) {
    const std::filesystem::path file =
        CheckpointFolder(folder_ / name / "checkpoints", 0).file_of(step);
    const RunConfig c =
        parse_config(read_checkpoint_info(file).resolved_yaml, file.string(), {}, registry_);
    const Session session = make_model_session(c, registry_);
    load_weights(file, session.model->parameters());
    std::vector<float> all;
    for (const TableEntry& entry : session.model->parameters().entries()) {
      const std::vector<float> values = session.model->parameters().read(entry);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
  std::vector<Json> rows(const std::string& name) const {
    std::vector<Json> out;
    std::ifstream in(folder_ / name / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const Json row = Json::parse(line);
      if (row.find("batch") != nullptr) out.push_back(row);
    }
    return out;
  }

  TemporaryFolder folder_;
  PluginRegistry registry_{PluginRegistry::default_folders(
      {std::filesystem::path(MOIETY_BINARY_DIR) / "lib" / "moiety" / "plugins"})};
};
INSTANTIATE_TEST_SUITE_P(Devices, TeacherTest, testing::Values("cpu", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

TEST_P(TeacherTest, AShallowerStudentOfADenseTeacherLosesBothLosses) {
  train("teacher", {"moe.enabled=false", "run.steps=40"});
  train("student", Overrides{"model.layers=1", "run.steps=40"} + learns_from("teacher"));
  const std::vector<Json> all = rows("student");
  const Json &first = all.front(), &last = all.back();
  EXPECT_LT(last.at("objective.distillation").number(),
            0.6 * first.at("objective.distillation").number());
  EXPECT_LT(last.at("objective.cross_entropy").number(),
            first.at("objective.cross_entropy").number());
  for (const Json& row : all) {
    EXPECT_NEAR(
        row.at("lm_loss").number(),
        row.at("objective.cross_entropy").number() + row.at("objective.distillation").number(),
        1e-5);
    EXPECT_GT(row.at("objective.distillation").number(), 0);
  }
}

TEST_P(TeacherTest, WithoutBetaItIsCausalLm) {
  train("teacher", {"run.steps=2"});
  train("plain", {"run.steps=6"});
  train("beta_0", learns_from("teacher", ", beta: 0"));
  EXPECT_EQ(weights("plain", 6), weights("beta_0", 6));
  train("taught", learns_from("teacher"));
  EXPECT_NE(weights("plain", 6), weights("taught", 6));
}

/// The teacher's weights, its caches and its scratch memory.
TEST_P(TeacherTest, TheStopGivesItsMemoryBack) {
  train("teacher", {"run.steps=2", "model.hidden=128"});
  const RunConfig c = config(learns_from("teacher", ", stop_step: 3"));
  const Session session = make_session(c, registry_);
  const BatchLayout layout(train_shape(c), *session.data, c.model.vocab_size);
  BatchLoader::Options order;
  order.prefetch = false;
  BatchLoader loader(*session.data, layout, order);
  StepRunner runner({session.context.get(), session.model.get(), session.objective.get(),
                     session.optimizer.get(), &layout},
                    c);
  const auto step = [&] {
    loader.next(*session.context, runner.batch());
    runner.run(/*graph=*/true);
    session.context->synchronize();
  };
  step();
  const size_t alone = session.context->bytes_in_use();
  auto teacher =
      std::make_unique<Teacher>(find_teacher(c, *teacher_request(*session.objective), registry_),
                                c.run.seed, registry_, *session.context);
  const auto weights = static_cast<size_t>(4 * 2 * 128 * 128 * 4);
  EXPECT_GT(session.context->bytes_in_use(), alone + weights);
  runner.set_teacher(teacher.get());
  for (int i = 0; i < 3; ++i) step();  // as a stream, captured, replayed
  EXPECT_TRUE(session.objective->wants_teacher(2));
  EXPECT_FALSE(session.objective->wants_teacher(3));
  const size_t beside = session.context->bytes_in_use();
  runner.set_teacher(nullptr);
  teacher.reset();
  for (int i = 0; i < 3; ++i) step();
  EXPECT_LT(session.context->bytes_in_use() + weights, beside);
  // What the student's own scratch grew by for blocks of the teacher's logits stays.
  EXPECT_LE(session.context->bytes_in_use(), alone + (size_t{1} << 25));
}

TEST_P(TeacherTest, ResumesBitForBitBeforeAndAfterTheStop) {
  train("teacher", {"run.steps=4", "model.dropout=0.1"});
  const Overrides student =
      Overrides{"model.dropout=0.1", "run.steps=12", "checkpoint.keep_last=9"} +
      learns_from("teacher", ", stop_step: 6, teacher_mode: train");
  train("straight", student);
  for (const char* first : {"run.steps=3", "run.steps=6", "run.steps=9"}) {
    const std::string name = std::string("parts_") + first;
    train(name, student + Overrides{first});
    train(name, student, /*resume=*/true);
    EXPECT_EQ(weights(name, 12), weights("straight", 12)) << first;
  }
  const std::vector<Json> all = rows("straight");
  ASSERT_EQ(all.size(), 12u);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].at("objective.distillation").number() > 0, i < 6) << i;
  }
}

TEST_P(TeacherTest, AGraphAndAStreamGiveTheSameBits) {
  train("teacher", {"run.steps=4"});
  const Overrides student =
      Overrides{"run.steps=9", "model.dropout=0.1"} + learns_from("teacher", ", stop_step: 4");
  train("stream", student + Overrides{"run.graph=off"});
  train("graph", student + Overrides{"run.graph=on"});
  EXPECT_EQ(weights("stream", 9), weights("graph", 9));
}

/// In 16 bits the teacher runs in the student's precision.
TEST_P(TeacherTest, TeachesInTheStudentsPrecision) {
  train("teacher", {"run.steps=4"});
  train("student", Overrides{"bf16.enabled=true"} + learns_from("teacher"));
  for (const Json& row : rows("student")) {
    EXPECT_TRUE(std::isfinite(row.at("lm_loss").number()));
    EXPECT_GT(row.at("objective.distillation").number(), 0);
  }
}

TEST_P(TeacherTest, AResumedRunKeepsItsTeacher) {
  train("teacher", {"run.steps=4", "checkpoint.keep_last=9"});
  const Overrides student =
      Overrides{"checkpoint.keep_last=9"} + learns_from("teacher", ", stop_step: 5");
  train("straight", student);
  train("parts", student + Overrides{"run.steps=3"});
  train("teacher", {"run.steps=8", "checkpoint.keep_last=9"}, /*resume=*/true);  // it went on
  train("parts", student, /*resume=*/true);
  EXPECT_EQ(weights("parts", 6), weights("straight", 6));

  train("late", student + Overrides{"run.steps=3"});
  const std::filesystem::path file =
      Json::parse(contents(folder_ / "late/teacher.json")).at("checkpoint").string();
  std::filesystem::copy_file(folder_ / "straight/checkpoints/step_00000006.h5", file,
                             std::filesystem::copy_options::overwrite_existing);
  const std::string text = error_of([&] { train("late", student, /*resume=*/true); });
  EXPECT_NE(text.find("not those that this run began with"), std::string::npos) << text;
  // After the stop nobody asks for it.
  std::filesystem::remove_all(folder_ / "teacher");
  train("straight", student + Overrides{"run.steps=8"}, /*resume=*/true);
}

TEST_P(TeacherTest, AnImportedCheckpointNeedsTheConfigurationOfItsModel) {
  const RunConfig c = config({});
  const Session session = make_model_session(c, registry_);
  save_checkpoint(folder_ / "weights.h5", session.model->parameters(), {});
  const Overrides bare = learns_from("weights.h5");
  const std::string text = error_of([&] { check_teacher(config(bare), registry_); });
  EXPECT_NE(text.find("teacher_config"), std::string::npos) << text;
  overwrite(folder_ / "weights.yaml", kConfig);
  check_teacher(config(learns_from("weights.h5", ", teacher_config: '" +
                                                     (folder_ / "weights.yaml").string() + "'")),
                registry_);
}

TEST_P(TeacherTest, AWholeFileThatIsNoneIsNamed) {
  train("teacher", {"run.steps=2", "checkpoint.interval=1"});
  // A torn newest file: the one before it teaches.
  std::filesystem::resize_file(folder_ / "teacher/checkpoints/step_00000002.h5", 1000);
  const RunConfig c = config(learns_from("teacher"));
  const Session session = make_session(c, registry_);
  EXPECT_EQ(find_teacher(c, *teacher_request(*session.objective), registry_).checkpoint.filename(),
            "step_00000001.h5");
  std::filesystem::resize_file(folder_ / "teacher/checkpoints/step_00000001.h5", 1000);
  const std::string text = error_of([&] { check_teacher(c, registry_); });
  EXPECT_NE(text.find("override 'objective="), std::string::npos) << text;
  EXPECT_NE(text.find("no complete checkpoint"), std::string::npos) << text;
}

}  // namespace
}  // namespace moiety
