// Decoding: names, identity, checks and limits. Random and golden payloads: payloads_test.cc.
// SPDX-License-Identifier: Apache-2.0
#include "receive/otlp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "receive/dump_for_test.h"
#include "receive/metric_name.h"
#include "receive/payload_for_test.h"
#include "receive/series_cache.h"

namespace coalmine::receive {
namespace {

namespace p = payload;
const std::string kTrace(16, '\x11');
const std::string kSpan(8, '\x22');

Decoded decoded(Signal signal, const p::Message& message, const Limits& limits = {}) {
  const auto payload = p::to_protobuf(message);
  auto out = decode(signal, Encoding::protobuf, payload, "10.1.2.3", kNow, limits);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  // A cache filled by earlier payloads changes nothing.
  SeriesCache cache;
  for (int pass = 0; pass < 3 && out; ++pass) {
    const auto again =
        decode(signal, Encoding::protobuf, payload, "10.1.2.3", kNow, limits, &cache);
    EXPECT_TRUE(again);
    if (again) {
      EXPECT_EQ(dump(*again), dump(*out)) << "pass " << pass;
    }
  }
  return out ? std::move(*out) : Decoded{};
}

std::string error_of(Signal signal, Encoding encoding, std::string_view payload) {
  auto out = decode(signal, encoding, payload, "10.1.2.3", kNow, {});
  EXPECT_FALSE(out);
  if (out) return "";
  EXPECT_EQ(out.error().code, ErrorCode::invalid_argument);
  return out.error().message;
}

TEST(MetricName, TranslatesAsTheSpecificationSays) {
  struct Case {
    std::string_view name, unit;
    Instrument instrument;
    std::string_view want;
  };
  using enum Instrument;
  const Case cases[] = {
      {"http.server.request.duration", "s", histogram, "http_server_request_duration_seconds"},
      {"http.server.request.duration", "ms", histogram,
       "http_server_request_duration_milliseconds"},
      {"http_server_request_duration", "ms", histogram,
       "http_server_request_duration_milliseconds"},
      {"http_server_request_duration", "", histogram, "http_server_request_duration"},
      {"http.server.request", "{request}", counter, "http_server_request_total"},
      {"http.server.request", "1", counter, "http_server_request_total"},
      {"http.server.request.total", "", counter, "http_server_request_total"},
      {"http_server_request_total", "", counter, "http_server_request_total"},
      {"http.server.request.errors", "", counter, "http_server_request_errors_total"},
      {"http_server_request_errors_total", "{error}", counter, "http_server_request_errors_total"},
      {"system.cpu.utilization", "1", gauge, "system_cpu_utilization_ratio"},
      {"queue.size", "1", up_down_counter, "queue_size"},
      {"process.memory.usage", "By", up_down_counter, "process_memory_usage_bytes"},
      {"disk.io", "By/s", gauge, "disk_io_bytes_per_second"},
      {"http.server.active_requests", "{request}", up_down_counter, "http_server_active_requests"},
      {"memory_bytes", "By", gauge, "memory_bytes"},
      {"system.disk.io_time", "s", counter, "system_disk_io_time_seconds_total"},
      {"a..b__c-d", "", gauge, "a_b_c_d"},
      {"2xx.count", "", counter, "_2xx_count_total"},
      {"speed", "m/s", gauge, "speed_meters_per_second"},
      {"load", "%", gauge, "load_percent"},
      {"odd", "foo.bar", gauge, "odd_foo_bar"},
      {"rule:latency", "", gauge, "rule:latency"},
      {"...", "s", gauge, ""},
      {"", "", gauge, ""},
  };
  for (const auto& c : cases)
    EXPECT_EQ(metric_name(c.name, c.unit, c.instrument), c.want) << c.name << " [" << c.unit << "]";
}

TEST(Decode, EmptyRequestIsNoError) {
  for (const auto signal : {Signal::traces, Signal::metrics, Signal::logs}) {
    EXPECT_TRUE(decoded(signal, {}).batch.empty());
    EXPECT_TRUE(from_json(signal, "{}").batch.empty());
  }
}

TEST(Decode, OneResourceAndOneSeriesAreShared) {
  const auto route = [] { return std::vector{p::key_value("http.route", p::text_value("/pay"))}; };
  const auto out = decoded(
      Signal::metrics,
      p::request(
          "metrics", p::canary_resource(),
          {p::metric(
              "http.server.request", "{request}", 7, "sum",
              p::sum_data({p::number_point(p::SignedFixed64{5}, route(), 1'700'000'010'000'000'000),
                           p::number_point(p::SignedFixed64{9}, route(), 1'700'000'020'000'000'000),
                           p::number_point(p::SignedFixed64{1}, {})},
                          2, true))}));
  ASSERT_EQ(out.batch.points.size(), 3u);
  EXPECT_EQ(out.batch.points[0].series, out.batch.points[1].series);
  EXPECT_NE(out.batch.points[0].series, out.batch.points[2].series);
  EXPECT_EQ(out.batch.points[0].series->resource, out.batch.points[2].series->resource);
  EXPECT_EQ(out.batch.points[0].series->labels.to_string(),
            "http_server_request_total{deployment_track=\"canary\", http_route=\"/pay\", "
            "instance=\"pod-1\", job=\"checkout-service\", "
            "service_instance_id=\"pod-1\", service_name=\"checkout-service\", "
            "service_version=\"2.4.0\"}");
  EXPECT_EQ(out.batch.received_ms, kNow);
}

TEST(Decode, AttributesThatCollideWithTheResourcesAreKeptBesideThem) {
  const auto out = decoded(
      Signal::metrics,
      p::request(
          "metrics", p::canary_resource(),
          {p::metric(
              "m", "", 5, "gauge",
              p::Message().many(
                  1, "dataPoints",
                  {p::number_point(1.5, {p::key_value("service.name", p::text_value("other")),
                                         p::key_value("job", p::text_value("j")),
                                         p::key_value("service.instance.id", p::text_value("mine")),
                                         p::key_value("instance", p::text_value("pod-1")),
                                         p::key_value("exported_job", p::text_value("k")),
                                         p::key_value("otel.scope.name", p::text_value("s")),
                                         p::key_value("__name__", p::text_value("evil")),
                                         p::key_value("a.b", p::text_value("1")),
                                         p::key_value("a_b", p::text_value("2"))})}))}));
  ASSERT_EQ(out.batch.points.size(), 1u);
  const auto& labels = out.batch.points[0].series->labels;
  EXPECT_EQ(labels.get("service_name"), "checkout-service");
  EXPECT_EQ(labels.get("exported_service_name"), "other");
  EXPECT_EQ(labels.get("job"), "checkout-service");
  EXPECT_EQ(labels.get("exported_job"), "k");
  EXPECT_EQ(labels.get("exported_exported_job"), "j");
  EXPECT_EQ(labels.get("service_instance_id"), "pod-1");
  EXPECT_EQ(labels.get("exported_service_instance_id"), "mine");
  EXPECT_EQ(labels.get("exported_instance"), "") << "it says the same";
  EXPECT_EQ(labels.get("otel_scope_name"), "");
  EXPECT_EQ(labels.get("exported_otel_scope_name"), "s");
  EXPECT_EQ(labels.metric_name(), "m");
  EXPECT_EQ(labels.get("a_b"), "1;2");
}

TEST(Decode, TheScopeIsAPartOfTheStreamAndNoLabel) {
  const auto scope = [](std::string name, std::string version = "") {
    p::Message about;
    about.set(1, "name", std::move(name));
    if (!version.empty()) {
      about.set(2, "version", std::move(version))
          .many(3, "attributes", {p::key_value("a.b", p::text_value("c"))});
    }
    return p::Message()
        .one(1, "scope", about)
        .many(2, "metrics",
              {p::metric("m", "", 5, "gauge",
                         p::Message().many(1, "dataPoints", {p::number_point(1.0)}))});
  };
  p::Message wrapper;
  wrapper.one(1, "resource", p::canary_resource())
      .many(2, "scopeMetrics", {scope("one"), scope("two", "1.2"), scope("one")});
  const auto request = p::Message().many(1, "resourceMetrics", {wrapper});
  const auto out = decoded(Signal::metrics, request);
  ASSERT_EQ(out.batch.points.size(), 3u);
  const auto& series = *out.batch.points[1].series;
  EXPECT_EQ(series.labels.get("otel_scope_name"), "");
  EXPECT_EQ(*series.scope, Labels::of({{"otel_scope_name", "two"},
                                       {"otel_scope_version", "1.2"},
                                       {"otel_scope_a_b", "c"}}));
  EXPECT_NE(out.batch.points[1].series, out.batch.points[0].series);
  EXPECT_EQ(out.batch.points[2].series, out.batch.points[0].series);
  // Known by bytes, too, a scope has series of its own.
  SeriesCache cache;
  const auto bytes = p::to_protobuf(request);
  for (int i = 0; i < 2; ++i) {
    const auto again = decode(Signal::metrics, Encoding::protobuf, bytes, "s", kNow, {}, &cache);
    ASSERT_TRUE(again);
    EXPECT_NE(again->batch.points[1].series, again->batch.points[0].series);
    EXPECT_EQ(again->batch.points[2].series, again->batch.points[0].series);
    EXPECT_EQ(again->batch.points[1].series->scope->get("otel_scope_name"), "two");
  }
}

TEST(Decode, BadPointsAreRejectedOneByOne) {
  const auto infinity = std::numeric_limits<double>::infinity();
  struct Case {
    std::string name;
    p::Message metric;
    std::string want;
  };
  auto timeless = p::number_point(1.0, {}, 0);
  auto valueless = p::Message().set(3, "timeUnixNano", p::Fixed64{1'700'000'010'000'000'000});
  auto wild_scale = p::Message()
                        .set(3, "timeUnixNano", p::Fixed64{1'700'000'010'000'000'000})
                        .set(6, "scale", p::ZigZag{99});
  const Case cases[] = {
      {"unspecified", p::metric("m", "", 7, "sum", p::sum_data({p::number_point(1.0)}, 0, true)),
       "temporality"},
      {"delta up-down", p::metric("m", "", 7, "sum", p::sum_data({p::number_point(1.0)}, 1, false)),
       "not monotonic"},
      {"negative counter",
       p::metric("m", "", 7, "sum", p::sum_data({p::number_point(-1.0)}, 2, true)), "value -1"},
      {"infinite counter",
       p::metric("m", "", 7, "sum", p::sum_data({p::number_point(infinity)}, 2, true)),
       "value inf"},
      {"no time", p::metric("m", "", 7, "sum", p::sum_data({timeless}, 2, true)), "no time"},
      {"no value", p::metric("m", "", 7, "sum", p::sum_data({valueless}, 2, true)), "no value"},
      {"no name", p::metric("--", "", 7, "sum", p::sum_data({p::number_point(1.0)}, 2, true)),
       "name"},
      {"descending",
       p::metric("m", "", 9, "histogram",
                 p::histogram_data({p::histogram_point({1, 1, 1}, {5, 4})}, 2)),
       "ascend"},
      {"equal bounds",
       p::metric("m", "", 9, "histogram",
                 p::histogram_data({p::histogram_point({1, 1, 1}, {5, 5})}, 2)),
       "ascend"},
      {"count mismatch",
       p::metric("m", "", 9, "histogram",
                 p::histogram_data({p::histogram_point({1, 1}, {1, 2})}, 2)),
       "2 bucket counts for 2 bounds"},
      {"infinite bound in the middle",
       p::metric("m", "", 9, "histogram",
                 p::histogram_data({p::histogram_point({1, 1, 1}, {infinity, infinity})}, 2)),
       "finite"},
      {"bound that is no number",
       p::metric("m", "", 9, "histogram",
                 p::histogram_data({p::histogram_point({1, 1}, {std::nan("")})}, 2)),
       "finite"},
      {"overflow",
       p::metric("m", "", 9, "histogram",
                 p::histogram_data({p::histogram_point({UINT64_MAX, 2}, {1})}, 2)),
       "64 bits"},
      {"histogram without temporality",
       p::metric("m", "", 9, "histogram", p::histogram_data({p::histogram_point({1, 1}, {1})}, 0)),
       "temporality"},
      {"scale", p::metric("m", "", 10, "exponentialHistogram", p::histogram_data({wild_scale}, 2)),
       "scale 99"},
  };
  for (const auto& c : cases) {
    auto good = p::metric("fine", "", 5, "gauge",
                          p::Message().many(1, "dataPoints", {p::number_point(1.0)}));
    const auto request = p::request("metrics", p::canary_resource(), {c.metric, std::move(good)});
    const auto out = decoded(Signal::metrics, request);
    EXPECT_EQ(out.rejected, 1u) << c.name;
    EXPECT_EQ(out.batch.points.size(), 1u) << c.name;
    EXPECT_NE(out.reason.find(c.want), std::string::npos) << c.name << ": " << out.reason;
    EXPECT_EQ(dump(from_json(Signal::metrics, p::to_json(request, {}))), dump(out)) << c.name;
  }
}

TEST(Decode, AnExplicitBoundOfInfinityIsTheLastBucket) {
  const auto infinity = std::numeric_limits<double>::infinity();
  const struct {
    std::vector<std::uint64_t> counts;
    std::vector<double> bounds;
    std::vector<std::uint64_t> want;
  } cases[] = {{{1, 2, 3}, {5, 10, infinity}, {1, 2, 3}},
               {{1, 2, 3, 4}, {5, 10, infinity}, {1, 2, 7}},
               {{6}, {infinity}, {6}},
               {{6, 1}, {infinity}, {7}}};
  SeriesCache cache;
  for (const auto& c : cases) {
    const auto request =
        p::request("metrics", p::canary_resource(),
                   {p::metric("m", "", 9, "histogram",
                              p::histogram_data({p::histogram_point(c.counts, c.bounds)}, 2))});
    const auto bytes = p::to_protobuf(request);
    for (int i = 0; i < 2; ++i) { // the second time the bounds are known by their bytes
      const auto out = decode(Signal::metrics, Encoding::protobuf, bytes, "s", kNow, {}, &cache);
      ASSERT_TRUE(out);
      ASSERT_EQ(out->batch.points.size(), 1u) << out->reason;
      const auto& value = std::get<ClassicHistogram>(out->batch.points[0].value);
      EXPECT_EQ(value.counts, c.want);
      EXPECT_EQ(value.bounds->size() + 1, c.want.size());
    }
    EXPECT_EQ(decoded(Signal::metrics, request).batch.points.size(), 1u);
  }
}

TEST(Decode, PointsThatLookOddAndAreFine) {
  auto stale = p::Message()
                   .set(3, "timeUnixNano", p::Fixed64{1'700'000'010'000'000'000})
                   .set(8, "flags", p::Varint{1});
  auto bare = p::Message()
                  .set(3, "timeUnixNano", p::Fixed64{1'700'000'010'000'000'000})
                  .set(4, "count", p::Fixed64{7});
  const auto out = decoded(
      Signal::metrics,
      p::request("metrics", p::canary_resource(),
                 {p::metric("stale", "", 7, "sum", p::sum_data({stale}, 2, true)),
                  p::metric("bare", "s", 9, "histogram", p::histogram_data({bare}, 1)),
                  p::metric("updown", "", 7, "sum",
                            p::sum_data({p::number_point(p::SignedFixed64{-4})}, 2, false))}));
  ASSERT_EQ(out.batch.points.size(), 3u) << out.reason;
  EXPECT_TRUE(out.batch.points[0].no_recorded_value);
  const auto& h = std::get<ClassicHistogram>(out.batch.points[1].value);
  EXPECT_EQ(h.counts, std::vector<std::uint64_t>{7});
  EXPECT_TRUE(h.bounds->empty());
  EXPECT_TRUE(std::isnan(h.sum)) << "no sum was sent: unknown, not zero";
  EXPECT_EQ(out.batch.points[1].series->temporality, Temporality::delta);
  EXPECT_EQ(out.batch.points[2].series->kind, MetricKind::gauge);
  EXPECT_EQ(std::get<double>(out.batch.points[2].value), -4);
}

TEST(Decode, SpansWithBadIdsAreRejectedAlone) {
  const auto out = decoded(
      Signal::traces,
      p::request(
          "traces", p::canary_resource(),
          {p::span(kTrace, kSpan, "good"), p::span(std::string(16, '\0'), kSpan, "zero trace"),
           p::span(kTrace, std::string(8, '\0'), "zero span"),
           p::span("short", kSpan, "short trace"),
           p::span(kTrace, kSpan, "bad parent").set(4, "parentSpanId", p::Hex{"abc"}),
           p::span(kTrace, kSpan, "zero parent")
               .set(4, "parentSpanId", p::Hex{std::string(8, '\0')})}));
  EXPECT_EQ(out.batch.spans.rows.size(), 2u);
  EXPECT_EQ(out.rejected, 4u);
  EXPECT_EQ(out.rejected_by.at("bad_trace_id"), 2u);
  EXPECT_NE(out.reason.find("4 of 6 spans rejected"), std::string::npos) << out.reason;
  EXPECT_NE(out.reason.find("\"zero trace\""), std::string::npos) << out.reason;
}

TEST(Decode, JsonIdsInBase64AreRejected) {
  const auto out = from_json(Signal::traces, R"({"resourceSpans":[{"scopeSpans":[{"spans":[
      {"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXM=","name":"b"},
      {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
       "name":"upper case is fine"}]}]}]})");
  EXPECT_EQ(out.rejected, 1u);
  EXPECT_NE(out.reason.find("the ids of span \"b\" are base64; OTLP/JSON has them in hex"),
            std::string::npos)
      << out.reason;
  ASSERT_EQ(out.batch.spans.rows.size(), 1u);
  EXPECT_EQ(to_hex(out.batch.spans.span(0).trace_id), "5b8efff798038103d269b633813fc60c");
  EXPECT_EQ(out.batch.spans.span(0).resource->service, "unknown_service");
  EXPECT_EQ(out.batch.spans.span(0).resource->instance, "10.1.2.3");
}

// A sampler at the tail marks the scope of the spans that it kept. Spans are stored without their
// scopes, so each has the mark.
TEST(Decode, WhatAScopeSaysOfSamplingIsSaidByItsSpans) {
  const auto scope = [](std::vector<p::Message> attributes) {
    p::Message about;
    about.set(1, "name", std::string("lib")).many(3, "attributes", std::move(attributes));
    return p::Message().one(1, "scope", about).many(2, "spans", {p::span(kTrace, kSpan, "s")});
  };
  p::Message wrapper;
  wrapper.one(1, "resource", p::canary_resource())
      .many(2, "scopeSpans",
            {scope({p::key_value("tailsampling.policy", p::text_value("errors")),
                    p::key_value("lib.flavour", p::text_value("x"))}),
             scope({})});
  const auto request = p::Message().many(1, "resourceSpans", {wrapper});
  for (const auto& out :
       {decoded(Signal::traces, request), from_json(Signal::traces, p::to_json(request, {}))}) {
    ASSERT_EQ(out.batch.spans.rows.size(), 2u);
    const auto marked = out.batch.spans.span(0);
    EXPECT_EQ(attribute_text(marked.attributes, "tailsampling.policy"), "errors");
    EXPECT_EQ(find_attribute(marked.attributes, "lib.flavour"), nullptr);
    EXPECT_EQ(find_attribute(out.batch.spans.span(1).attributes, "tailsampling.policy"), nullptr);
  }
}

TEST(Decode, FieldsMayComeInAnyOrder) {
  // The resource after its spans, a metric's name after its data.
  p::Message scope;
  scope.many(2, "spans", {p::span(kTrace, kSpan, "s")});
  p::Message wrapper;
  wrapper.many(2, "scopeSpans", {scope}).one(1, "resource", p::canary_resource());
  const auto request = p::Message().many(1, "resourceSpans", {wrapper});
  EXPECT_EQ(decoded(Signal::traces, request).batch.spans.span(0).resource->version, "2.4.0");
  EXPECT_EQ(
      from_json(Signal::traces, p::to_json(request, {})).batch.spans.span(0).resource->version,
      "2.4.0");
  auto metric = p::Message()
                    .one(7, "sum", p::sum_data({p::number_point(1.0)}, 2, true))
                    .set(1, "name", std::string("late"));
  const auto metrics = p::request("metrics", p::canary_resource(), {metric});
  EXPECT_EQ(decoded(Signal::metrics, metrics).batch.points.at(0).series->labels.metric_name(),
            "late_total");
  EXPECT_EQ(from_json(Signal::metrics, p::to_json(metrics, {}))
                .batch.points.at(0)
                .series->labels.metric_name(),
            "late_total");
}

p::Message log(std::uint64_t severity, std::string trace_id, std::vector<p::Message> attributes,
               std::string event_name = "") {
  p::Message out;
  out.set(11, "observedTimeUnixNano", p::Fixed64{1'700'000'000'000'000'000})
      .set(2, "severityNumber", p::Varint{severity});
  out.one(5, "body", p::text_value("it broke")).many(6, "attributes", std::move(attributes));
  return std::move(out.set(9, "traceId", p::Hex{std::move(trace_id)})
                       .set(12, "eventName", std::move(event_name)));
}

TEST(Decode, LogsAreKeptWhenTheyTellOfFailures) {
  const auto out = decoded(
      Signal::logs,
      p::request("logs", p::canary_resource(),
                 {log(17, kTrace, {}), log(9, kTrace, {}), log(17, "", {}),
                  log(9, "", {p::key_value("exception.type", p::text_value("E"))}),
                  log(9, "", {}, "http.server.request.exception"), log(17, "wrong length", {})}));
  EXPECT_EQ(out.batch.logs.size(), 3u);
  EXPECT_EQ(out.logs_not_kept, 3u);
  EXPECT_EQ(out.items, 6u);
  EXPECT_EQ(out.rejected, 0u);
  EXPECT_EQ(out.batch.logs[0].time_ns, 1'700'000'000'000'000'000u) << "the observed time stands in";
}

TEST(Decode, LimitsCutAndCount) {
  Limits limits;
  limits.max_attributes = 3;
  limits.max_value_bytes = 10;
  limits.max_depth = 2;
  auto deep = p::int_value(1);
  for (int i = 0; i < 5; ++i)
    deep = p::Message().one(5, "arrayValue", p::Message().many(1, "values", {deep}));
  const auto request = p::request(
      "traces", p::canary_resource(),
      {p::span(kTrace, kSpan, "0123456789abc")
           .many(9, "attributes",
                 {p::key_value("long", p::text_value("äääääääää")),
                  p::key_value("", p::int_value(1)), p::key_value("deep", deep),
                  p::key_value("c", p::int_value(3)), p::key_value("d", p::int_value(4))})});
  const auto out = decoded(Signal::traces, request, limits);
  ASSERT_EQ(out.batch.spans.rows.size(), 1u);
  const auto span = out.batch.spans.span(0);
  EXPECT_EQ(span.name, "0123456789");
  EXPECT_EQ(attribute_text(span.attributes, "long"), "äääää");
  EXPECT_EQ(attribute_text(span.attributes, "deep"), "[[null]]");
  EXPECT_EQ(span.attributes.size(), 3u);
  EXPECT_EQ(out.dropped_attributes, 3u) << "one of them of the resource";
  EXPECT_GE(out.cut_values, 3u);
  EXPECT_EQ(dump(from_json(Signal::traces, p::to_json(request, {}), limits)), dump(out));
}

TEST(Decode, ManyTinyItemsStopAtTheMemoryBudget) {
  Limits limits;
  limits.max_inflated_bytes = 10'000;
  std::vector<p::Message> spans;
  for (int i = 0; i < 1000; ++i) {
    p::Message s;
    spans.push_back(std::move(s.set(1, "traceId", p::Hex{kTrace}).set(2, "spanId", p::Hex{kSpan})));
  }
  const auto request = p::request("traces", {}, std::move(spans));
  for (const auto encoding : {Encoding::protobuf, Encoding::json}) {
    const auto payload =
        encoding == Encoding::protobuf ? p::to_protobuf(request) : p::to_json(request, {});
    const auto out = decode(Signal::traces, encoding, payload, "x", kNow, limits);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().code, ErrorCode::resource_exhausted);
  }
}

TEST(Decode, InvalidUtf8IsReplaced) {
  const auto out = decoded(Signal::traces, p::request("traces", p::canary_resource(),
                                                      {p::span(kTrace, kSpan, "a\xff\xc0\x80z")}));
  EXPECT_EQ(out.batch.spans.span(0).name, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
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

TEST(Decode, DeepNestingIsBounded) {
  std::string deep(200'000, '[');
  EXPECT_NE(error_of(Signal::traces, Encoding::json, deep).find("JSON"), std::string::npos);
  EXPECT_NE(
      error_of(Signal::traces, Encoding::json, "{\"x\":" + deep + std::string(200'000, ']') + "}")
          .find("JSON"),
      std::string::npos);
  auto value = p::to_protobuf(p::int_value(1));
  for (int i = 0; i < 2'000; ++i) { // AnyValue{array_value{values{…}}}
    std::string array;
    protozero::pbf_writer(array).add_message(1, value);
    value.clear();
    protozero::pbf_writer(value).add_message(5, array);
  }
  std::string pair;
  protozero::pbf_writer writer(pair);
  writer.add_string(1, "deep");
  writer.add_message(2, value);
  auto span = p::to_protobuf(p::span(kTrace, kSpan, "s"));
  protozero::pbf_writer(span).add_message(9, pair);
  std::string scope;
  protozero::pbf_writer(scope).add_message(2, span);
  std::string wrapper;
  protozero::pbf_writer(wrapper).add_message(2, scope);
  std::string request;
  protozero::pbf_writer(request).add_message(1, wrapper);
  auto out = decode(Signal::traces, Encoding::protobuf, request, "x", kNow, {});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->cut_values, 1u);
  EXPECT_EQ(attribute_text(out->batch.spans.span(0).attributes, "deep"),
            std::string(64, '[') + "null" + std::string(64, ']'));
}

TEST(Decode, LenientJson) {
  const auto out = from_json(
      Signal::traces, R"({"resource_spans":[{"unknown":{"a":[1,{}]},"resource":{"attributes":[
      {"key":"service.name","value":{"string_value":"s"}}],"droppedAttributesCount":0},
      "scope_spans":[{"spans":[
      {"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174",
       "parent_span_id":null,"name":null,"kind":"SPAN_KIND_SERVER",
       "start_time_unix_nano":1700000000000000000,"endTimeUnixNano":"1700000000100000000",
       "status":{"code":"STATUS_CODE_ERROR","message":"m"},
       "flags":257,"links":[{"traceId":"bad"}],"attributes":[
       {"key":"a","value":{"intValue":2}},{"key":"b","value":{"doubleValue":null}},
       {"key":"c","value":{}},{"key":"d","value":{"intValue":"9007199254740993"}},
       {"key":"e"},{"key":"f","value":{"intValue":3.0}}]}]}]}]})");
  EXPECT_EQ(dump(out),
            "span 5b8efff798038103d269b633813fc60c eee19b7ec3c1b174 parent=0000000000000000 \"\" "
            "kind=2 start=1700000000000000000 "
            "end=1700000000100000000 status=2 \"m\" state=\"\" flags=257 {a:int=2, b:double=nan, "
            "c:empty=, d:int=9007199254740993, "
            "e:empty=, "
            "f:int=3} of {instance=\"10.1.2.3\", job=\"s\", service_name=\"s\"}\n");
}

TEST(Decode, SummaryBecomesItsParts) {
  auto point = p::Message()
                   .set(3, "timeUnixNano", p::Fixed64{1'700'000'010'000'000'000})
                   .set(4, "count", p::Fixed64{10})
                   .set(5, "sum", 2.5);
  point.many(6, "quantileValues",
             {p::Message().set(1, "quantile", 0.5).set(2, "value", 0.2),
              p::Message().set(1, "quantile", 0.99).set(2, "value", 0.9)});
  const auto request = p::request(
      "metrics", p::canary_resource(),
      {p::metric("rpc", "s", 11, "summary", p::Message().many(1, "dataPoints", {point}))});
  const auto out = decoded(Signal::metrics, request);
  ASSERT_EQ(out.batch.points.size(), 4u);
  EXPECT_EQ(out.items, 1u);
  EXPECT_EQ(out.batch.points[0].series->labels.metric_name(), "rpc_seconds_count");
  EXPECT_EQ(out.batch.points[1].series->labels.metric_name(), "rpc_seconds_sum");
  EXPECT_EQ(out.batch.points[3].series->labels.get("quantile"), "0.99");
  EXPECT_EQ(dump(from_json(Signal::metrics, p::to_json(request, {}))), dump(out));
}

} // namespace
} // namespace coalmine::receive
