#include "core/base/json.h"

#include <gtest/gtest.h>

#include <cmath>

#include <moiety/error.h>

namespace moiety {

TEST(Json, RoundTripKeepsOrderAndTypes) {
  const std::string text = R"({"z":1,"a":[true,null,-2.5,"x\ny"],"big":9007199254740993})";
  const Json json = Json::parse(text);
  EXPECT_EQ(json.dump(), text);
  EXPECT_EQ(json.at("big").integer(), 9007199254740993);
  EXPECT_EQ(json.at("a").array()[2].number(), -2.5);
}

TEST(Json, NanBecomesNull) { EXPECT_EQ(Json(Json::Array{NAN, INFINITY}).dump(), "[null,null]"); }

TEST(Json, WrongTypeAndMissingKeySayWhat) {
  EXPECT_THROW(Json::parse("{"), Error);
  try {
    Json::parse("{}").at("vocab_size");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "JSON: no member 'vocab_size'");
  }
}

TEST(Json, SetReplaces) {
  Json json;
  json.set("a", 1).set("b", 2).set("a", "three");
  EXPECT_EQ(json.dump(), R"({"a":"three","b":2})");
}

}  // namespace moiety
