// Finding, naming, creating and keeping components.
#include "core/plugin/registry.h"

#include <moiety/objective.h>

#include <cstdlib>

#include "core/plugin/gate.h"
#include "core/plugin/kinds.h"
#include "core/plugin/search.h"
#include "tests/unit/plugin/fixture.h"

namespace moiety {
namespace {

namespace fs = std::filesystem;
constexpr auto kObjective = ComponentKind::kObjective;

TEST(Registry, FindsByFileName) {
  PluginRegistry registry({plugin_folder()});
  const ComponentInfo& info = registry.find(kObjective, "plain");
  EXPECT_EQ(info.name, "plain");
  EXPECT_EQ(info.file, plugin_file("plain"));
  EXPECT_EQ(info.stamp.get("version"), "1.2.3");
  EXPECT_EQ(&registry.find(kObjective, "plain"), &info) << "loaded once, at a stable place";
  EXPECT_NE(registry.try_find(kObjective, "plain_too"), nullptr) << "of the same library";
  EXPECT_EQ(registry.try_find(ComponentKind::kGating, "plain"), nullptr);
}

TEST(Registry, NotFoundSaysWhereItLooked) {
  TemporaryFolder folder;
  fs::copy(plugin_file("plain"), folder.path() / "moiety_objective_plain.so");
  PluginRegistry registry({folder.path(), "/nowhere"});
  EXPECT_EQ(replaced(message_of<PluginError>([&] { registry.find(kObjective, "plian"); }),
                     folder.path().string(), "DIR"),
            "no objective 'plian'; did you mean 'plain'? Installed: plain\n"
            "  looked for moiety_objective_plian.so in: DIR, /nowhere");
  PluginRegistry empty({});
  EXPECT_EQ(message_of<PluginError>([&] { empty.find(kObjective, "plain"); }),
            "no objective 'plain'. Installed: none\n"
            "  looked for moiety_objective_plain.so in: no folder");
}

TEST(Registry, ANameIsNeverAPath) {
  PluginRegistry registry({plugin_folder() / "sub"});
  EXPECT_EQ(registry.try_find(kObjective, "x/../../moiety_objective_plain"), nullptr);
}

TEST(Registry, AFileWithoutTheComponentOfItsName) {
  TemporaryFolder folder;
  const fs::path file = folder.path() / "moiety_objective_other.so";
  fs::copy(plugin_file("plain"), file);
  PluginRegistry registry({folder.path()});
  EXPECT_EQ(message_of<PluginError>([&] { registry.find(kObjective, "other"); }),
            file.string() +
                " has no objective 'other'; it has: objective 'plain', objective "
                "'plain_too'");
}

TEST(Registry, TheFirstFolderWinsAndTheOtherIsNamed) {
  TemporaryFolder folder;
  fs::copy(plugin_file("plain"), folder.path() / "moiety_objective_plain.so");
  PluginRegistry registry({folder.path(), plugin_folder()});
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  EXPECT_EQ(registry.find(kObjective, "plain").file.parent_path(), folder.path());
  const std::string log =
      testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("plugin " + (folder.path() / "moiety_objective_plain.so").string() +
                     " is used, " + plugin_file("plain").string() + " of the same name is not"),
            std::string::npos)
      << log;
}

TEST(Registry, NamesComeFromFilesAndFromLoadedLibraries) {
  TemporaryFolder folder;
  fs::copy(plugin_file("no_stamp"), folder.path() / "moiety_objective_unopened.so");
  PluginRegistry registry({folder.path()});
  registry.add_file(plugin_file("plain"));
  EXPECT_EQ(registry.names(kObjective),
            (std::vector<std::string>{"plain", "plain_too", "unopened"}));
  EXPECT_TRUE(registry.names(ComponentKind::kData).empty());
}

TEST(Registry, CreatedComponentsAreKnownAndOutliveTheRegistry) {
  std::shared_ptr<Objective> made;
  {
    PluginRegistry registry({plugin_folder()});
    EXPECT_TRUE(registry.loaded().empty());
    const auto options = complete_options(registry.find(kObjective, "plain"), {});
    EXPECT_TRUE(registry.loaded().empty()) << "found is not used";
    made = registry.create<Objective>("plain", options, {});
    ASSERT_EQ(registry.loaded().size(), 1u);
    EXPECT_EQ(registry.loaded()[0].name, "plain");
  }
  EXPECT_EQ(describe(made), "objective 'plain' 1.2.3");
  EXPECT_TRUE(made->metrics().empty());
  EXPECT_EQ(describe(nullptr), "a component");
}

TEST(Registry, ItsErrorsCrossTheBoundaryAndSayWhere) {
  PluginRegistry registry({plugin_folder()});
  const auto options = complete_options(registry.find(kObjective, "plain"), {});
  const auto made = registry.create<Objective>("plain", options, {});
  Exec exec(nullptr);
  EXPECT_EQ(message_of<PluginError>([&] {
              in_plugin(describe(made), "evaluate", -1,
                        [&] { made->evaluate(exec, {}, {}, {}, {}); });
            }),
            "objective 'plain' 1.2.3 failed in evaluate: there is no loss");
}

TEST(Registry, DefaultFolders) {
  ::setenv("MOIETY_PLUGIN_PATH", ":/b::/a/../c:", 1);
  const auto folders = PluginRegistry::default_folders({"/a", "/b"});
  ::unsetenv("MOIETY_PLUGIN_PATH");
  ASSERT_EQ(folders.size(), 4u) << "no empty entry, none twice";
  EXPECT_EQ(folders[0], "/a");
  EXPECT_EQ(folders[1], "/b");
  EXPECT_EQ(folders[2], "/c");
  EXPECT_TRUE(folders[3].string().ends_with("lib/moiety/plugins"));
}

TEST(Kinds, NamesRoundTrip) {
  for (const ComponentKind kind : kAllKinds) EXPECT_EQ(kind_from_name(kind_name(kind)), kind);
  EXPECT_EQ(kind_from_name("gate"), std::nullopt);
  EXPECT_EQ(plugin_file_name(ComponentKind::kData, "text"), "moiety_data_text.so");
}

TEST(Kinds, ComponentNames) {
  for (const char* good : {"a", "topk", "acme_topk", "top2"}) EXPECT_TRUE(is_component_name(good));
  for (const char* bad : {"", "Topk", "2top", "_a", "a-b", "a/b", "a.b", "a b"}) {
    EXPECT_FALSE(is_component_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace moiety
