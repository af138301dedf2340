// Libraries that must be refused, each with its own message, and two that must load.
#include "core/plugin/registry.h"
#include "tests/unit/plugin/fixture.h"

namespace moiety {
namespace {

std::string refusal(const std::string& name) {
  PluginRegistry registry({});
  return message_of<PluginError>([&] { registry.add_file(plugin_file(name)); });
}

TEST(Load, AbiNewer) {
  EXPECT_EQ(refusal("abi_newer"),
            "plugin 'abi_newer' 1.0.0 (moiety_objective_abi_newer.so) was built for another core:\n"
            "  abi        plugin 2.0  core 1.0\n"
            "Rebuild it against this installation: cmake -DMoiety_DIR=... && cmake --build .");
}

TEST(Load, OtherSanitizer) {
  EXPECT_NE(refusal("other_sanitizer").find("\n  sanitizer  plugin msan  core "),
            std::string::npos);
}

TEST(Load, NoStamp) {
  EXPECT_EQ(refusal("no_stamp"),
            "moiety_objective_no_stamp.so is no plugin: it has no MOIETY_PLUGIN stamp. Was "
            "MOIETY_PLUGIN(...) left out?");
}

TEST(Load, UndefinedSymbol) {
  EXPECT_EQ(refusal("undefined_symbol"),
            "plugin 'undefined_symbol' 1.0.0 (moiety_objective_undefined_symbol.so) cannot be "
            "loaded: moiety_objective_undefined_symbol.so: undefined symbol: "
            "moiety_function_of_the_future\nIt uses something that this core does not have. "
            "Rebuild it with moiety_add_plugin() against this installation.");
}

TEST(Load, ThrowsInEntry) {
  EXPECT_EQ(refusal("throws_in_entry"),
            "plugin moiety_objective_throws_in_entry.so failed while it registered its components: "
            "no licence found");
}

TEST(Load, ThrowsInCreate) {
  PluginRegistry registry({});
  registry.add_file(plugin_file("throws_in_create"));
  const auto options =
      complete_options(registry.find(ComponentKind::kObjective, "throws_in_create"), {});
  EXPECT_EQ(message_of<PluginError>([&] {
              registry.create(ComponentKind::kObjective, "throws_in_create", options, {});
            }),
            "objective 'throws_in_create' 1.0.0 (moiety_objective_throws_in_create.so) could not "
            "be created: the table of constants is missing");
}

TEST(Load, AConfigErrorInCreateIsTheUsers) {
  PluginRegistry registry({});
  registry.add_file(plugin_file("refuses_options"));
  const auto options =
      complete_options(registry.find(ComponentKind::kObjective, "refuses_options"), {});
  EXPECT_EQ(message_of<ConfigError>([&] {
              registry.create(ComponentKind::kObjective, "refuses_options", options, {});
            }),
            "objective 'refuses_options' 1.0.0: k is 2, expected an odd number");
  EXPECT_TRUE(registry.loaded().empty());
}

TEST(Load, BadDefaultAndEverythingElseWrongWithTheOptions) {
  EXPECT_EQ(refusal("bad_default"),
            "objective 'bad_default' in moiety_objective_bad_default.so is refused:\n"
            "  option 'k' has a bad default: expected an integer in [1, 8], got 99\n"
            "  option 'mode' has a bad default: expected one of soft, hard, got 'sfot'; did you "
            "mean 'soft'?\n"
            "  option 'flag' has no documentation\n"
            "  option 'flag' is declared twice");
}

TEST(Load, InterfaceNewer) {
  EXPECT_EQ(refusal("interface_newer"),
            "objective 'interface_newer' in moiety_objective_interface_newer.so speaks interface "
            "99 of kind objective, this core speaks 1. Rebuild it against this installation: cmake "
            "-DMoiety_DIR=... && cmake --build .");
}

TEST(Load, LongerDescriptorLoads) {
  PluginRegistry registry({});
  registry.add_file(plugin_file("longer_descriptor"));
  const ComponentInfo& info = registry.find(ComponentKind::kObjective, "longer_descriptor");
  EXPECT_EQ(info.summary, "Does nothing");
  EXPECT_TRUE(info.traits.deterministic);
  EXPECT_EQ(info.schema.size(), 3u);
}

TEST(Load, AnErrorLeavesTheRegistryUsable) {
  PluginRegistry registry({});
  for (int attempt = 0; attempt < 2; ++attempt) {  // refused again, not remembered as loaded
    EXPECT_THROW(registry.add_file(plugin_file("bad_default")), PluginError);
  }
  registry.add_file(plugin_file("plain"));
  EXPECT_NE(registry.try_find(ComponentKind::kObjective, "plain"), nullptr);
}

}  // namespace
}  // namespace moiety
