// What is not OTLP, or not quite, is answered with what is wrong.
// SPDX-License-Identifier: Apache-2.0
#include "receive/misdirected.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "receive/decode_for_test.h"

namespace coalmine::receive {
namespace {

TEST(Decode, MisdirectedPayloadsAreTold) {
  struct Case {
    Signal signal;
    Encoding encoding;
    std::string_view payload, want;
  };
  const Case cases[] = {
      {Signal::metrics, Encoding::json, R"({"name":"x","value":1})",
       "it has no resourceMetrics, but name, value"},
      {Signal::metrics, Encoding::json, R"({"resourceSpans":[]})",
       "but resourceSpans; resourceSpans belongs at /v1/traces"},
      {Signal::traces, Encoding::json, R"([{"traceId":"a","id":"b"}])", "a list (as Zipkin"},
      {Signal::metrics, Encoding::json,
       R"({"resourceMetrics":[{"instrumentationLibraryMetrics":[{"metrics":[]}]}]})",
       "resourceMetrics[0] has no scopeMetrics, but instrumentationLibraryMetrics; "
       "instrumentationLibraryMetrics is OTLP before 0.16"},
      {Signal::traces, Encoding::json,
       R"({"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"span":[]}]}]})",
       "resourceSpans[0].scopeSpans[0] has no spans, but span"},
      {Signal::metrics, Encoding::json,
       R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","sum":{"points":[]}}]}]}]})",
       "resourceMetrics[0].scopeMetrics[0].metrics[0].sum has no dataPoints, but points"},
      {Signal::metrics, Encoding::json,
       R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","counter":{}}]}]}]})",
       "has no gauge, sum, histogram, exponentialHistogram, summary, but counter"},
      {Signal::traces, Encoding::json, "\x0a\x02\x12\x00", "it looks like protobuf"},
      {Signal::traces, Encoding::protobuf, R"({"resourceSpans":[]})", "it looks like JSON"},
  };
  for (const auto& c : cases) {
    const auto error = error_of(c.signal, c.encoding, c.payload);
    EXPECT_NE(error.find(c.want), std::string::npos) << c.payload << " gave: " << error;
  }
  // Empty and newer requests are fine.
  for (const auto* payload :
       {"{}", R"({"resourceMetrics":[]})", R"({"resource_metrics":null})",
        R"({"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[]}]}]})",
        R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","gauge":{}}]}]}]})"}) {
    EXPECT_EQ(from_json(Signal::metrics, payload).rejected, 0u) << payload;
  }
}

TEST(Decode, TimesInAnotherUnitAreTold) {
  const auto told = [](std::string_view time) {
    return from_json(Signal::metrics,
                     fmt::format(R"({{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{)"
                                 R"("name":"x","gauge":{{"dataPoints":[{{"timeUnixNano":"{}",)"
                                 R"("asInt":"1"}}]}}}}]}}]}}]}})",
                                 time))
        .reason;
  };
  EXPECT_EQ(told("1700000020000"),
            "1 of 1 data points rejected: the time 1700000020000 of metric \"x\" is in "
            "milliseconds; OTLP has nanoseconds since 1970");
  EXPECT_NE(told("1700000020").find("is in seconds"), std::string::npos);
  EXPECT_NE(told("1700000020000000").find("is in microseconds"), std::string::npos);
  EXPECT_EQ(told("1700000020000000000"), "");
  EXPECT_EQ(told("1"), "") << "no time in any unit: the store says what it thinks of 1970";
  const auto spans = from_json(Signal::traces, R"({"resourceSpans":[{"scopeSpans":[{"spans":[
      {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"s",
       "startTimeUnixNano":"1700000019000","endTimeUnixNano":"1700000020000"}]}]}]})");
  EXPECT_TRUE(spans.batch.spans.rows.empty());
  EXPECT_EQ(spans.rejected_by.at("time_unit"), 1u);
}

TEST(Decode, WrongTypesNameTheField) {
  const std::string wrong =
      p::to_protobuf(p::request("traces", p::canary_resource(),
                                {p::span(kTrace, kSpan, "x").set(7, "x", std::string("text"))}));
  EXPECT_NE(
      error_of(Signal::traces, Encoding::protobuf, wrong).find("field 7 of Span has wire type 2"),
      std::string::npos);
  EXPECT_NE(
      error_of(Signal::traces, Encoding::protobuf, "\x0a\xff\xff\xff\xff\x0f").find("at byte"),
      std::string::npos);
  EXPECT_NE(error_of(Signal::metrics, Encoding::protobuf, "this is no protobuf")
                .find("ExportMetricsServiceRequest"),
            std::string::npos);
  struct Case {
    std::string_view json, want;
  };
  const Case cases[] = {
      {"", "not valid JSON"},
      {"[1]", "not an object"},
      {"{\"resourceSpans\":[", "not valid JSON"},
      {R"({"resourceSpans":{}})", "resourceSpans is an object, not an array"},
      {R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":7}]}]}]})",
       "resourceSpans[0].scopeSpans[0].spans[1].name is 7, not a string"},
      {R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"now"}]}]}]})",
       "startTimeUnixNano is \"now\", not an unsigned"},
      {R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-1}]}]}]})",
       "startTimeUnixNano is -1"},
      {R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"k",)"
       R"("value":"bare"}]}]}]}]})",
       "not an object"},
      {R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"k",)"
       R"("value":{"bytesValue":"*"}}]}]}]}]})",
       "base64"},
  };
  for (const auto& c : cases) {
    const auto error = error_of(Signal::traces, Encoding::json, c.json);
    EXPECT_NE(error.find(c.want), std::string::npos) << c.json << " gave: " << error;
  }
}

} // namespace
} // namespace coalmine::receive
