// SPDX-License-Identifier: Apache-2.0
#include "serve/prometheus_json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <limits>

namespace coalmine::serve {
namespace {

std::string value_text(double v) {
  std::string out;
  append_value(out, v);
  return out;
}

std::string seconds_text(std::int64_t ms) {
  std::string out;
  append_seconds(out, ms);
  return out;
}

std::string quoted_text(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

constexpr std::size_t kRoomy = 1 << 20;

TEST(PrometheusJson, ValuesAsGoWritesThem) {
  const std::vector<std::pair<double, std::string>> cases = {
      {0, "0"},
      {-0.0, "-0"},
      {1.5, "1.5"},
      {100, "100"},
      {0.1, "0.1"},
      {1e-6, "0.000001"},
      {9.9e-7, "9.9e-07"},
      {1e-7, "1e-07"},
      {-2.5e-100, "-2.5e-100"},
      {123456789012345680000.0, "123456789012345680000"},
      {-1e15, "-1000000000000000"},
      {9007199254740993.0, "9007199254740992"},
      {1234567890123456.5, "1234567890123456.5"},
      {1e21, "1e+21"},
      {-1e21, "-1e+21"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {0.30000000000000004, "0.30000000000000004"},
      {INFINITY, "+Inf"},
      {-INFINITY, "-Inf"},
      {NAN, "NaN"},
  };
  for (const auto& [value, text] : cases) EXPECT_EQ(value_text(value), "\"" + text + "\"");
}

TEST(PrometheusJson, TimesAsSecondsWithNoneOrThreeDecimals) {
  EXPECT_EQ(seconds_text(0), "0");
  EXPECT_EQ(seconds_text(1'700'000'000'000), "1700000000");
  EXPECT_EQ(seconds_text(1'700'000'000'120), "1700000000.120");
  EXPECT_EQ(seconds_text(1), "0.001");
  EXPECT_EQ(seconds_text(-1500), "-1.500");
}

TEST(PrometheusJson, TextIsEscapedAndAlwaysValid) {
  EXPECT_EQ(quoted_text("a\"\\\n\r\t\x01\x1f/<"), "\"a\\\"\\\\\\n\\r\\t\\u0001\\u001f/<\"");
  EXPECT_EQ(quoted_text("héllo → \xF0\x9F\x90\xA4"), "\"héllo → \xF0\x9F\x90\xA4\"");
  EXPECT_EQ(quoted_text("x\xff\xc3"), "\"x\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(with_valid_utf8("{\"a\":\"\xff\"}"), "{\"a\":\"\xEF\xBF\xBD\"}");
  for (int c = 0; c < 256; ++c) {
    const std::string one(1, static_cast<char>(c));
    EXPECT_NO_THROW(boost::json::parse(quoted_text(one))) << c;
  }
}

TEST(PrometheusJson, EveryKindOfResult) {
  const auto json = [](promql::QueryResult result) { return *result_json(result, kRoomy); };
  EXPECT_EQ(json({.value = promql::Scalar{1500, 2}, .warnings = {}, .infos = {}}),
            R"({"status":"success","data":{"resultType":"scalar","result":[1.500,"2"]}})");
  EXPECT_EQ(json({.value = promql::StringValue{1000, "x\"y"}, .warnings = {}, .infos = {}}),
            R"({"status":"success","data":{"resultType":"string","result":[1,"x\"y"]}})");
  EXPECT_EQ(json({.value = promql::Vector{}, .warnings = {"w1", "w2"}, .infos = {"i"}}),
            R"({"status":"success","data":{"resultType":"vector","result":[]},)"
            R"("warnings":["w1","w2"],"infos":["i"]})");
  promql::Matrix matrix;
  matrix.series.push_back({Labels::of({{"a", "b"}}), {{1000, 1, nullptr}, {2000, NAN, nullptr}}});
  matrix.series.push_back({Labels(), {{1000, 3, nullptr}}});
  EXPECT_EQ(json({.value = matrix, .warnings = {}, .infos = {}}),
            R"({"status":"success","data":{"resultType":"matrix",)"
            R"("result":[{"metric":{"a":"b"},"values":[[1,"1"],[2,"NaN"]]},{"metric":{},)"
            R"("values":[[1,"3"]]}]}})");
}

TEST(PrometheusJson, NativeHistograms) {
  auto h = std::make_shared<promql::NativeHistogram>();
  h->schema = 0;
  h->zero_threshold = 0.001;
  h->zero_count = 2;
  h->count = 12;
  h->sum = 18.5;
  h->positive = {.offset = 0, .counts = {1, 0, 4}}; // (0.5,1], (1,2], (2,4]
  h->negative = {.offset = 1, .counts = {5}};       // [-2,-1)
  promql::Matrix matrix;
  matrix.series.push_back({Labels(), {{1000, 7, nullptr}, {2000, 0, h}}});
  EXPECT_EQ(*result_json({.value = matrix, .warnings = {}, .infos = {}}, kRoomy),
            R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{},)"
            R"("values":[[1,"7"]],"histograms":[[2,{"count":"12","sum":"18.5",)"
            R"("buckets":[[1,"-2","-1","5"],[3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,)"
            R"("2","4","4"]]}]]}]}})");

  auto custom = std::make_shared<promql::NativeHistogram>();
  custom->schema = -53;
  custom->custom_bounds = {5, 10};
  custom->count = 6;
  custom->positive = {.offset = 0, .counts = {1, 2, 3}};
  promql::Vector vector;
  vector.series.push_back({Labels(), {{1000, 0, custom}}});
  EXPECT_EQ(*result_json({.value = vector, .warnings = {}, .infos = {}}, kRoomy),
            R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},)"
            R"("histogram":[1,{"count":"6","sum":"0",)"
            R"("buckets":[[3,"-Inf","5","1"],[0,"5","10","2"],[0,"10","+Inf","3"]]}]}]}})");
}

TEST(PrometheusJson, AnAnswerTooLargeIsAnError) {
  promql::Matrix matrix;
  for (int i = 0; i < 100; ++i)
    matrix.series.push_back({Labels::of({{"i", std::to_string(i)}}), {{1000, 1, nullptr}}});
  const auto result = result_json({.value = matrix, .warnings = {}, .infos = {}}, 1000);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::resource_exhausted);
}

} // namespace
} // namespace coalmine::serve
