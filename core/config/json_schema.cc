// The declarations of keys.h as JSON Schema, for editors.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/config/groups.h"
#include "core/config/keys.h"
#include "core/config/load.h"
#include "core/config/read_keys.h"
#include "core/config/scheduler.h"
#include "core/plugin/registry.h"

namespace moiety {
namespace config {
namespace {

Json object(Json::Object members) { return Json(std::move(members)); }

Json to_json(const Value& value) {
  struct Visitor {
    Json operator()(bool x) const { return x; }
    Json operator()(int64_t x) const { return x; }
    Json operator()(double x) const { return x; }
    Json operator()(const std::string& x) const { return x; }
    Json operator()(const std::vector<double>& x) const { return Json::Array(x.begin(), x.end()); }
    Json operator()(const std::vector<std::string>& x) const {
      return Json::Array(x.begin(), x.end());
    }
  };
  return std::visit(Visitor{}, value);
}

void add_bounds(Json& schema, const OptionSpec& spec) {
  if (spec.min > -1e300) schema.set("minimum", spec.min);
  if (spec.max < 1e300) schema.set("maximum", spec.max);
}

Json choices_of(const OptionSpec& spec) {
  Json schema = object({{"type", "string"}});
  if (!spec.choices.empty()) {
    schema.set("enum", Json::Array(spec.choices.begin(), spec.choices.end()));
  }
  return schema;
}

Json number_of(const OptionSpec& spec, bool integer) {
  Json schema = object({{"type", integer ? "integer" : "number"}});
  add_bounds(schema, spec);
  return schema;
}

Json list_of(Json item, const OptionSpec& spec) {
  Json schema = object({{"type", "array"}, {"items", std::move(item)}});
  if (spec.length >= 0) {
    schema.set("minItems", spec.length);
    schema.set("maxItems", spec.length);
  }
  return schema;
}

/// The shapes that a value may have; a text with ${...} may stand for any of them.
Json::Array shapes(const OptionSpec& spec, const ValueRules& rules) {
  Json::Array out;
  switch (spec.type) {
    case OptionType::kBool: out.push_back(object({{"type", "boolean"}})); break;
    case OptionType::kInt: out.push_back(number_of(spec, true)); break;
    case OptionType::kFloat: out.push_back(number_of(spec, false)); break;
    case OptionType::kString: out.push_back(choices_of(spec)); break;
    case OptionType::kNumbers: out.push_back(list_of(number_of(spec, rules.integers), spec)); break;
    case OptionType::kStrings: out.push_back(list_of(choices_of(spec), spec)); break;
  }
  if (rules.single) out.push_back(number_of(spec, rules.integers));
  if (rules.duration) {
    out.push_back(object({{"type", "string"}, {"pattern", "^([0-9.]+[dhms])+$"}}));
  }
  return out;
}

Json value_schema(const OptionSpec& spec, const ValueRules& rules, bool nullable) {
  Json::Array any = shapes(spec, rules);
  any.push_back(object({{"$ref", "#/$defs/reference"}}));
  const bool none =
      std::find(spec.choices.begin(), spec.choices.end(), "None") != spec.choices.end();
  if (nullable || none) any.push_back(object({{"type", "null"}}));
  return object({{"anyOf", Json(std::move(any))}});
}

Json map_schema(Json::Object properties) {
  return object({{"type", "object"},
                 {"properties", Json(std::move(properties))},
                 {"patternProperties", object({{"^x-", object({})}})},
                 {"additionalProperties", false}});
}

Json params_schema(const std::vector<OptionSpec>& specs) {
  Json::Object properties;
  for (const OptionSpec& spec : specs) {
    Json schema = value_schema(spec, {}, false);
    schema.set("description", spec.doc);
    if (!spec.required) schema.set("default", to_json(spec.fallback));
    properties.emplace_back(spec.name, std::move(schema));
  }
  return map_schema(std::move(properties));
}

/// One type of a component: when `type` is `name`, `params` has these options.
Json type_rule(const std::string& name, const std::vector<OptionSpec>& specs) {
  Json condition = object({{"properties", object({{"type", object({{"const", name}})}})},
                           {"required", Json::Array{"type"}}});
  Json result = object({{"properties", object({{"params", params_schema(specs)}})}});
  return object({{"if", std::move(condition)}, {"then", std::move(result)}});
}

/// `optimizer.groups`.
Json groups_schema() {
  Json group = params_schema(group_schema());
  group.set("required", Json::Array{"match"});
  Json::Object properties;
  for (const OptionSpec& spec : group_schema()) {
    ValueRules rules;
    Json schema = value_schema(spec, rules, false);
    if (spec.type == OptionType::kStrings) {
      schema = object({{"anyOf", Json::Array{schema, object({{"type", "string"}})}}});
    }
    schema.set("description", spec.doc);
    properties.emplace_back(spec.name, std::move(schema));
  }
  group.set("properties", Json(std::move(properties)));
  return object({{"description", "parameters with a rate and a decay of their own"},
                 {"type", Json::Array{"array", "null"}},
                 {"items", std::move(group)}});
}

Json component_schema(std::vector<std::string> names, Json::Array rules, bool groups = false) {
  Json::Array examples(names.begin(), names.end());
  Json::Object properties = {
      {"type", object({{"type", "string"}, {"examples", Json(std::move(examples))}})},
      {"params", object({{"type", Json::Array{"object", "null"}}})}};
  if (groups) properties.emplace_back("groups", groups_schema());
  Json schema = map_schema(std::move(properties));
  if (!rules.empty()) schema.set("allOf", std::move(rules));
  return object({{"anyOf", Json::Array{std::move(schema), object({{"type", "null"}})}}});
}

Json key_schema(const Key& key, PluginRegistry& plugins) {
  std::vector<std::string> names;
  Json::Array rules;
  Json schema;
  switch (key.role) {
    case KeyRole::kComponent:
      names = plugins.names(key.kind);
      std::sort(names.begin(), names.end());
      for (const std::string& name : names) {
        if (const ComponentInfo* info = plugins.try_find(key.kind, name)) {
          rules.push_back(type_rule(name, info->schema));
        }
      }
      schema = component_schema(std::move(names), std::move(rules), key.path() == "optimizer");
      break;
    case KeyRole::kScheduler:
      for (const SchedulerType& type : scheduler_types()) {
        names.push_back(type.name);
        rules.push_back(type_rule(type.name, type.schema));
      }
      schema = component_schema(std::move(names), std::move(rules));
      break;
    case KeyRole::kLater: schema = object({}); break;
    default:
      schema = value_schema(key.option, key.rules, key.nullable);
      if (key.default_text.empty()) schema.set("default", to_json(key.option.fallback));
  }
  std::string doc = key.option.doc;
  if (key.role == KeyRole::kAccepted) doc = "changes nothing here: " + key.reason;
  if (key.role == KeyRole::kLater) doc = later_text(key);
  schema.set("description", doc);
  return schema;
}

Json section_schema(const std::string& section, PluginRegistry& plugins) {
  const Keys& keys = Keys::all();
  Json::Object properties;
  if (section.empty()) {
    const Json path = object({{"type", "string"}});
    const Json paths = object({{"type", "array"}, {"items", path}});
    properties.emplace_back("base", object({{"anyOf", Json::Array{path, paths}},
                                            {"description", "files that this one changes"}}));
  }
  for (const std::string& name : keys.children(section)) {
    const std::string path = child_path(section, name);
    const Key* key = keys.find(path);
    if (key == nullptr) {
      Json schema = section_schema(path, plugins);
      if (const Key* whole = keys.shorthand(path)) {
        schema = object({{"anyOf", Json::Array{std::move(schema), key_schema(*whole, plugins)}}});
      }
      properties.emplace_back(name, std::move(schema));
      continue;
    }
    const Json schema = key_schema(*key, plugins);
    properties.emplace_back(name, schema);
    for (const std::string& alias : key->aliases) properties.emplace_back(alias, schema);
  }
  return map_schema(std::move(properties));
}

}  // namespace
}  // namespace config

std::string json_schema(PluginRegistry& plugins) {
  Json schema = config::section_schema("", plugins);
  schema.set("$schema", "https://json-schema.org/draft/2020-12/schema");
  schema.set("title", "Moiety configuration");
  Json reference(Json::Object{{"type", "string"}, {"pattern", "\\$\\{[^}]*\\}"}});
  schema.set("$defs", Json(Json::Object{{"reference", std::move(reference)}}));
  return schema.dump(2) + "\n";
}

}  // namespace moiety
