// Files that are written from the declarations are those that the declarations give now.
#include "core/base/files.h"
#include "core/base/json.h"
#include "tests/unit/config/config_test.h"

namespace moiety {
namespace {

TEST(Generated, ReferenceIsFresh) {
  PluginRegistry plugins = tree_plugins();
  EXPECT_TRUE(read_file(kSource / "docs/config.md") == config_reference(plugins))
      << "stale: moiety config reference > docs/config.md";
}

TEST(Generated, SchemaIsFresh) {
  PluginRegistry plugins = tree_plugins();
  EXPECT_TRUE(read_file(kSource / "configs/schema.json") == json_schema(plugins))
      << "stale: moiety config schema > configs/schema.json";
}

TEST(Generated, SchemaKnowsKeysAndPlugins) {
  PluginRegistry plugins = tree_plugins();
  const Json schema = Json::parse(json_schema(plugins));
  const Json& properties = schema.at("properties");
  const Json& moe = properties.at("moe").at("properties");
  EXPECT_NE(moe.find("ep_size"), nullptr);
  EXPECT_EQ(moe.at("num_experts").at("anyOf").array().size(), 3U);
  EXPECT_FALSE(properties.at("model").at("additionalProperties").boolean());
  const Json& gate = moe.at("gate").at("anyOf").array()[0];
  EXPECT_EQ(gate.at("allOf").array().size(), plugins.names(ComponentKind::kGating).size());
}

}  // namespace
}  // namespace moiety
