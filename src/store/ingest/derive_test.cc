// The three request series of every service: which requests are counted, when, and from which
// source.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/ingest/derive.h"
#include "store/series/histogram_math.h"
#include "store/testing.h"
#include "telemetry/durations.h"

namespace coalmine::store::testing {
namespace {

using Points = std::vector<std::pair<std::int64_t, double>>;

constexpr std::string_view kStable = "http.server.request.duration";
constexpr std::string_view kOld = "http.server.duration";

const BucketBounds& seconds() {
  static const auto list = bounds({0.005, 0.01, 0.1, 1});
  return list;
}

Attributes request(std::int64_t status, std::string route = "/a") {
  return {{"http.route", std::move(route)},
          {"http.request.method", std::string("GET")},
          {"http.response.status_code", status}};
}

struct DeriveTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  void SetUp() override { open(); }

  std::shared_ptr<const MetricSeries> duration(const Attributes& attributes,
                                               std::string_view otel = kStable,
                                               std::string unit = "s",
                                               Temporality temporality = Temporality::cumulative) {
    return series(app, std::string(otel),
                  otel == kStable ? "http_server_request_duration_seconds"
                                  : "http_server_duration_milliseconds",
                  MetricKind::histogram, attributes, std::move(unit), temporality);
  }
  std::shared_ptr<const MetricSeries> counter(std::string_view name,
                                              const Attributes& attributes = {}) {
    return series(app, std::string(name), std::string(name), MetricKind::counter, attributes);
  }
  Points only(std::string_view name, bool choose = true) {
    const auto found = select(*store, name, {}, choose);
    EXPECT_EQ(found.size(), 1u) << name;
    return found.empty() ? Points{} : values(found[0]);
  }
};

TEST_F(DeriveTest, CountsErrorsAndDurationsFromTheHistogram) {
  const auto start = kNow - 60'000;
  append(
      batch({point(duration(request(200)), start, kNow, classic(seconds(), {1, 2, 3, 0, 0}, 0.5)),
             point(duration(request(503)), start, kNow, classic(seconds(), {0, 0, 0, 4, 1}, 9))}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 11}}));
  EXPECT_EQ(only(kErrorsName), (Points{{0, 5}}));
  const auto durations = select(*store, kDurationName);
  ASSERT_EQ(durations.size(), 1u);
  ASSERT_EQ(durations[0].classic.size(), 1u);
  const auto& value = durations[0].classic[0].value;
  EXPECT_EQ(*value.bounds, (std::vector<double>{5, 10, 100, 1000}));
  EXPECT_EQ(value.counts, (std::vector<std::uint64_t>{1, 2, 3, 4, 1}));
  EXPECT_DOUBLE_EQ(value.sum, 9500);
  EXPECT_EQ(durations[0].classic[0].start_ms, start);
  EXPECT_EQ(durations[0].unit, "ms");
  EXPECT_EQ(durations[0].source, Source::histogram);
  const auto requests = select(*store, kRequestsName);
  EXPECT_EQ(requests[0].labels->get("http_route"), "/a");
  EXPECT_EQ(requests[0].labels->get("http_request_method"), "GET");
  EXPECT_EQ(requests[0].labels->get("http_response_status_code"), "") << "status codes are folded";
  EXPECT_EQ(requests[0].labels->get("deployment_track"), "stable");
}

TEST_F(DeriveTest, TheErrorCounterExistsAsZero) {
  append(batch(
      {point(duration(request(200)), kNow - 1000, kNow, classic(seconds(), {1, 0, 0, 0, 0}))}));
  EXPECT_EQ(only(kErrorsName), (Points{{0, 0}}));
}

TEST(DeriveRules, WhatIsAnError) {
  const std::string e = "error.type";
  EXPECT_FALSE(is_error_point(request(200)));
  EXPECT_FALSE(is_error_point(request(404)));
  EXPECT_TRUE(is_error_point(request(500)));
  EXPECT_TRUE(is_error_point({{"http.status_code", std::string("502")}}));
  EXPECT_TRUE(is_error_point({{e, std::string("TimeoutError")}}));
  EXPECT_TRUE(is_error_point({{e, std::string("500")}}));
  EXPECT_FALSE(is_error_point({{e, std::string("404")}}));
  // ASP.NET Core writes the exception's type beside a 4xx.
  auto handled = request(404);
  handled.emplace_back(e, std::string("Shop.NotFoundException"));
  EXPECT_FALSE(is_error_point(handled));
  EXPECT_FALSE(is_error_point({{"http.status_code", std::string("499")}, {e, std::string("E")}}));
  auto broken = request(200); // the connection broke while answering
  broken.emplace_back(e, std::string("java.io.IOException"));
  EXPECT_TRUE(is_error_point(broken));
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::unset, 0));
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::unset, 404));
  EXPECT_TRUE(is_failed(SpanKind::server, StatusCode::unset, 500));
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::ok, 500));
  EXPECT_TRUE(is_failed(SpanKind::server, StatusCode::error, 0));
  EXPECT_FALSE(is_failed(SpanKind::client, StatusCode::unset, 500)) << "the callee failed";
}

TEST(DeriveRules, Units) {
  EXPECT_EQ(to_ms_factor("s", false, bounds({5, 100})), 1000);
  EXPECT_EQ(to_ms_factor("ms", false, bounds({0.1})), 1);
  EXPECT_EQ(to_ms_factor("", false, bounds({5, 100})), 1);
  EXPECT_EQ(to_ms_factor("", false, bounds({0.1, 10})), 1000);
  EXPECT_EQ(to_ms_factor("", true, bounds({0.1, 10})), 1);
  // Whatever the bounds look like.
  for (const auto* unit : {"seconds", "Seconds", "second", "sec", "s{request}", " s "})
    EXPECT_EQ(to_ms_factor(unit, false, bounds({5, 10'000})), 1000) << unit;
  for (const auto* unit : {"milliseconds", "millisecond", "ms{call}"})
    EXPECT_EQ(to_ms_factor(unit, false, bounds({0.1, 50})), 1) << unit;
  EXPECT_EQ(to_ms_factor("microseconds", false, bounds({5})), 1e-3);
  EXPECT_EQ(to_ms_factor("\u00b5s", false, bounds({5})), 1e-3);
  EXPECT_EQ(to_ms_factor("nanoseconds", false, bounds({5})), 1e-6);
  EXPECT_EQ(to_ms_factor("minutes", false, bounds({5})), 60'000);
  // An annotation alone is no unit.
  EXPECT_EQ(to_ms_factor("{request}", false, bounds({0.1, 10})), 1000);
}

TEST_F(DeriveTest, StartTimesDecideWhatTheFirstPointCounts) {
  struct Case {
    const char* what;
    std::int64_t start_ms; // relative to the first point; 1: unknown
    Points expected;
  };
  const std::vector<Case> cases = {
      {"a start before the point: all of it", -60'000, {{0, 10}, {15'000, 14}}},
      {"a start at the point: a baseline", 0, {{0, 0}, {15'000, 4}}},
      {"no start: a baseline", 1, {{0, 0}, {15'000, 4}}},
      {"a start near 1970: none", 17'220 - kNow, {{0, 0}, {15'000, 4}}},
  };
  for (const auto& c : cases) {
    app = resource("shop", "stable", "1", c.what);
    const auto of = duration(request(200));
    const std::int64_t start = c.start_ms == 1 ? 0 : kNow + c.start_ms;
    append(batch({point(of, start, kNow, classic(seconds(), {10, 0, 0, 0, 0}))}));
    append(batch({point(of, start, kNow + 15'000, classic(seconds(), {14, 0, 0, 0, 0}))}));
    const auto found = select(*store, kRequestsName, {{"instance", Matcher::Op::equal, c.what}});
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(values(found[0]), c.expected) << c.what;
  }
}

TEST_F(DeriveTest, ResetsAndRestarts) {
  const auto of = duration(request(200));
  const auto at = [&](std::int64_t start, std::int64_t time, std::uint64_t count) {
    append(batch({point(of, start == 0 ? 0 : kNow + start, kNow + time,
                        classic(seconds(), {count, 0, 0, 0, 0}))}));
  };
  at(-10'000, 0, 100);
  at(-10'000, 15'000, 110);
  at(20'000, 30'000, 105); // started again: the new count in full, though it is not much smaller
  at(20'000, 45'000, 3);   // fell
  EXPECT_EQ(only(kRequestsName), (Points{{0, 100}, {15'000, 110}, {30'000, 215}, {45'000, 218}}));
  const auto found = select(*store, kRequestsName);
  for (const auto& s : found[0].floats)
    EXPECT_EQ(s.start_ms, kNow - 10'000) << "the derived count itself never starts again";
}

TEST_F(DeriveTest, RepeatedAndOvertakenExportsCountOnce) {
  const auto of = duration(request(200));
  const auto first = batch({point(of, kNow - 1000, kNow, classic(seconds(), {5, 0, 0, 0, 0}))});
  const auto second =
      batch({point(of, kNow - 1000, kNow + 15'000, classic(seconds(), {9, 0, 0, 0, 0}))});
  append(second);
  append(first);
  append(second);
  append(first);
  EXPECT_EQ(only(kRequestsName).back(), (std::pair<std::int64_t, double>(15'000, 9)));
}

TEST_F(DeriveTest, DeltasAddUpAndLateOnesKeepTheOrder) {
  const auto of = duration(request(200), kStable, "s", Temporality::delta);
  const auto at = [&](std::int64_t time, std::uint64_t count) {
    return batch(
        {point(of, kNow + time - 10'000, kNow + time, classic(seconds(), {count, 0, 0, 0, 0}))});
  };
  append(at(0, 1));
  append(at(20'000, 4));
  append(at(10'000, 2)); // arrived late
  append(at(10'000, 2)); // and repeated
  append(at(30'000, 8));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 1}, {10'000, 3}, {20'000, 7}, {30'000, 15}}));
  const auto raw = select(*store, "http_server_request_duration_seconds");
  ASSERT_EQ(raw[0].classic.size(), 4u);
  EXPECT_EQ(raw[0].classic[1].value.count, 3u);
  EXPECT_EQ(raw[0].classic[3].value.count, 15u);
  for (const auto& s : raw[0].classic) EXPECT_EQ(s.start_ms, kNow - 10'000);
}

TEST_F(DeriveTest, BothConventionsAreNeverAdded) {
  const auto ms = bounds({5, 10, 100, 1000});
  const auto old = duration(request(200), kOld, "ms");
  const auto stable = duration(request(200));
  const auto both = [&](std::int64_t time, std::uint64_t count) {
    append(
        batch({point(old, kNow - 1000, kNow + time, classic(ms, {count, 0, 0, 0, 0})),
               point(stable, kNow - 1000, kNow + time, classic(seconds(), {count, 0, 0, 0, 0}))}));
  };
  both(0, 5);
  both(15'000, 7);
  EXPECT_EQ(only(kRequestsName), (Points{{0, 5}, {15'000, 7}}));
}

TEST_F(DeriveTest, TheOldConventionAloneCountsAndThenGivesWay) {
  const auto ms = bounds({5, 10, 100, 1000});
  const auto old = duration(request(200), kOld, "ms");
  const auto stable = duration(request(200));
  append(batch({point(old, kNow - 1000, kNow, classic(ms, {5, 0, 0, 0, 0}))}));
  append(batch({point(stable, kNow - 1000, kNow + 15'000, classic(seconds(), {6, 0, 0, 0, 0}))}));
  append(batch({point(old, kNow - 1000, kNow + 30'000, classic(ms, {9, 0, 0, 0, 0}))}));
  append(batch({point(stable, kNow - 1000, kNow + 30'000, classic(seconds(), {9, 0, 0, 0, 0}))}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 5}, {15'000, 5}, {30'000, 8}}));
}

TEST_F(DeriveTest, ExponentialHistogramsAreMappedByTheirIncreases) {
  const auto of = series(app, std::string(kStable), "http_server_request_duration_seconds",
                         MetricKind::exponential, request(200), "s");
  const auto at = [&](std::int64_t time, int scale, std::vector<std::uint64_t> counts) {
    ExponentialHistogram h;
    h.scale = scale;
    for (const auto n : counts) h.count += n;
    h.positive = {0, std::move(counts)};
    append(batch({point(of, kNow - 1000, kNow + time, h)}));
  };
  at(0, 1, {1, 1, 0, 2}); // up to 1.42 s, 2 s, -, 4 s
  at(15'000, 0, {3, 2});  // coarser: (1,2] now 3, (2,4] still 2
  const auto found = select(*store, kDurationName);
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(found[0].classic.size(), 2u);
  EXPECT_EQ(found[0].classic[0].value.bounds->size(), fixed_bounds_ms()->size());
  EXPECT_EQ(found[0].classic[0].value.count, 4u);
  EXPECT_EQ(found[0].classic[1].value.count, 5u);
  for (std::size_t i = 0; i < found[0].classic[0].value.counts.size(); ++i) {
    EXPECT_LE(found[0].classic[0].value.counts[i], found[0].classic[1].value.counts[i])
        << "no bucket runs backwards";
  }
  EXPECT_EQ(only(kRequestsName), (Points{{0, 4}, {15'000, 5}}));
}

// The durations as they were measured: the exponential ones, in seconds.
std::vector<ExponentialSample> exact_durations(const Store& store) {
  SelectRequest request;
  request.matchers = {{"__name__", Matcher::Op::equal, std::string(kDurationName)}};
  request.to_ms = INT64_MAX;
  request.exact_durations = true;
  const auto found = store.select(request);
  EXPECT_TRUE(found);
  for (const auto& data : *found) {
    if (data.exponential.empty()) continue;
    EXPECT_EQ(data.unit, "s");
    return data.exponential;
  }
  return {};
}

TEST_F(DeriveTest, ExponentialHistogramsKeepTheirResolution) {
  const auto of = series(app, std::string(kStable), "http_server_request_duration_seconds",
                         MetricKind::exponential, request(200), "s");
  const auto at = [&](std::int64_t time, int scale, std::vector<std::uint64_t> counts,
                      std::int64_t start = -1000) {
    ExponentialHistogram h;
    h.scale = scale;
    h.zero_count = 1;
    h.count = 1;
    for (const auto n : counts) h.count += n;
    h.sum = static_cast<double>(h.count);
    h.positive = {4, std::move(counts)};
    append(batch({point(of, kNow + start, kNow + time, h)}));
  };
  at(0, 4, {1, 0, 2});
  at(15'000, 4, {1, 5, 2});
  reopen();
  at(30'000, 4, {2, 5, 3});
  const auto exact = exact_durations(*store);
  ASSERT_EQ(exact.size(), 3u);
  EXPECT_EQ(exact[0].start_ms, kNow - 1000);
  EXPECT_EQ(exact[2].value.scale, 4);
  EXPECT_EQ(exact[2].value.zero_count, 1u);
  EXPECT_EQ(exact[2].value.positive, (ExponentialHistogram::Buckets{4, {2, 5, 3}}));
  EXPECT_EQ(exact[2].value.count, 11u);
  EXPECT_DOUBLE_EQ(exact[2].value.sum, 11);
  const auto shown = select(*store, kDurationName);
  ASSERT_EQ(shown.size(), 1u) << "PromQL sees the classic form alone";
  EXPECT_EQ(shown[0].classic.size(), 3u);
}

TEST_F(DeriveTest, SpansKeepTheResolutionTheyWereMeasuredWith) {
  std::uint8_t id = 0;
  const auto at = [&](std::int64_t received, std::int64_t ms) {
    Batch b;
    b.received_ms = kNow + received;
    ++id;
    b.spans = table_of({span(app, id, id, kNow - 40'000, kNow - 40'000 + ms)});
    append(b);
  };
  at(0, 195);
  at(1500, 205);
  at(1700, 30'000); // one that took long takes nothing from the others
  reopen();
  at(3000, 205);
  const auto exact = exact_durations(*store);
  ASSERT_EQ(exact.size(), 3u);
  const auto& last = exact.back().value;
  EXPECT_EQ(last.scale, kDurationScale);
  EXPECT_EQ(last.count, 4u);
  const auto in_bucket_of = [&](double seconds) {
    const auto place = bucket_index(seconds, kDurationScale) - last.positive.offset;
    return last.positive.counts.at(static_cast<std::size_t>(place));
  };
  EXPECT_EQ(in_bucket_of(0.195), 1u);
  EXPECT_EQ(in_bucket_of(0.205), 2u);
  EXPECT_EQ(in_bucket_of(30), 1u);
}

TEST_F(DeriveTest, LateExponentialDeltasKeepTheOrder) {
  const auto of = series(app, std::string(kStable), "http_server_request_duration_seconds",
                         MetricKind::exponential, request(200), "s", Temporality::delta);
  const auto at = [&](std::int64_t time, int scale, std::int32_t offset, std::uint64_t count) {
    ExponentialHistogram h;
    h.scale = scale;
    h.positive = {offset, {count}};
    h.count = count;
    append(batch({point(of, kNow + time - 10'000, kNow + time, h)}));
  };
  at(0, 3, 8, 1);
  at(20'000, 2, 4, 4); // coarser: the same observations
  at(10'000, 3, 9, 2); // arrived late
  const auto exact = exact_durations(*store);
  ASSERT_EQ(exact.size(), 3u);
  EXPECT_EQ(exact[1].value.count, 3u);
  EXPECT_EQ(exact[2].value.count, 7u);
  EXPECT_EQ(exact[2].value.scale, 2);
  EXPECT_EQ(exact[2].value.positive, (ExponentialHistogram::Buckets{4, {7}}));
}

TEST_F(DeriveTest, ServerSpansCountOnArrivalOneSampleASecond) {
  const auto at = [&](std::uint8_t id, std::int64_t received, StatusCode status,
                      SpanKind kind = SpanKind::server) {
    Batch b;
    b.received_ms = kNow + received;
    b.spans = table_of({span(app, id, id, kNow - 5000, kNow - 4880, kind, status,
                             {{"http.route", std::string("/a")}})});
    append(b);
  };
  at(1, 0, StatusCode::unset);
  at(2, 400, StatusCode::error);
  at(2, 500, StatusCode::error); // repeated by the client
  at(3, 700, StatusCode::unset, SpanKind::client);
  at(4, 1400, StatusCode::unset, SpanKind::consumer); // a message is no HTTP request
  at(5, 1500, StatusCode::unset);
  EXPECT_EQ(only(kRequestsName), (Points{{0, 2}, {1500, 3}}));
  EXPECT_EQ(only(kErrorsName), (Points{{0, 1}, {1500, 1}}));
  const auto durations = select(*store, kDurationName);
  ASSERT_EQ(durations[0].classic.size(), 2u);
  EXPECT_EQ(durations[0].classic[1].value.counts[10], 3u) << "120 ms is in (100, 150]";
  EXPECT_EQ(durations[0].classic[0].start_ms, kNow - 5000);
}

// Brave, Envoy and Istio send Zipkin's spans: caller and callee share trace and span id.
TEST_F(DeriveTest, ASpanIsRepeatedOnlyByTheSameKindOfTheSameSender) {
  const auto front = resource("front");
  const auto client = [&](std::uint8_t id) {
    return span(front, id, id, kNow - 500, kNow - 300, SpanKind::client, StatusCode::error);
  };
  const auto server = [&](std::uint8_t id) {
    return span(app, id, id, kNow - 450, kNow - 350, SpanKind::server, StatusCode::error);
  };
  const auto send = [&](const std::vector<Span>& spans) {
    Batch b = batch({});
    b.spans = table_of(spans);
    append(b);
  };
  send({client(1)});
  send({server(1)});
  send({server(2)});
  send({client(2)});
  send({client(3), server(3)});
  send({span(app, 3, 3, kNow - 440, kNow - 350)}); // and of the callee it was sent again
  reopen();
  send({client(1), server(1)}); // a client's retry
  EXPECT_EQ(only(kErrorsName), (Points{{0, 3}}));
  TraceId id;
  id.fill(1);
  EXPECT_EQ(store->trace(id)->size(), 2u);
}

TEST_F(DeriveTest, ATimeOfASpanThatCannotBeCostsThatValueAlone) {
  const std::int64_t second = 1000;
  const std::int64_t retention = options.retention_ms;
  const struct {
    const char* what;
    std::int64_t start, end;
    std::int64_t seen; // when the instance was first there
  } cases[] = {{"start unset", 0, kNow - second, kNow - second},
               {"start near 1970", 17'220, kNow - second, kNow - second},
               {"start before retention", kNow - retention - second, kNow - second, kNow - second},
               {"start after the end", kNow - second, kNow - 2 * second, kNow - 2 * second},
               {"end unset", kNow - second, 0, kNow - second},
               {"end in the far future", kNow - second, kNow + 3'600 * second, kNow - second}};
  for (const auto& c : cases) {
    app = resource("shop", "canary", "2", c.what);
    Batch b = batch({});
    b.spans = table_of({span(app, 1, 1, c.start, c.end, SpanKind::server, StatusCode::error)});
    const auto result = append(b);
    EXPECT_EQ(result.rejected_spans, 0u) << c.what << ": " << result.reason;
    const std::vector<Matcher> of = {{"instance", Matcher::Op::equal, c.what}};
    const auto requests = select(*store, kRequestsName, of);
    ASSERT_EQ(requests.size(), 1u) << c.what;
    EXPECT_EQ(values(requests[0]), (Points{{0, 1}})) << c.what;
    EXPECT_EQ(requests[0].floats[0].start_ms, c.seen) << c.what;
    EXPECT_EQ(values(select(*store, kErrorsName, of).at(0)), (Points{{0, 1}})) << c.what;
    EXPECT_TRUE(select(*store, kDurationName, of).empty()) << c.what << ": it took no known time";
    for (const auto& p : store->presence()) {
      if (p.instance == c.what) {
        EXPECT_EQ(p.first_ms, c.seen) << c.what;
      }
    }
  }
  Batch neither = batch({});
  neither.spans = table_of({span(app, 9, 9, 5, 7)});
  EXPECT_EQ(append(neither).rejected_spans, 1u);
}

TEST_F(DeriveTest, OwnCountersPassAndAnUnknownNumberOfErrorsIsNotZero) {
  const auto requests = counter(kRequestsName, {{"http.route", std::string("/a")}});
  const auto errors = counter(kErrorsName, {{"http.route", std::string("/a")}});
  const auto start = kNow - 1000;
  append(batch({point(requests, start, kNow, 10)}));
  EXPECT_TRUE(select(*store, kErrorsName).empty()) << "nobody has counted errors yet";
  append(batch({point(requests, start, kNow + 15'000, 20)}));
  append(
      batch({point(requests, start, kNow + 30'000, 30), point(errors, start, kNow + 30'000, 3)}));
  append(batch({point(requests, start, kNow + 45'000, 40)}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 10}, {15'000, 20}, {30'000, 30}, {45'000, 40}}));
  EXPECT_EQ(only(kErrorsName), (Points{{30'000, 3}}));
  const auto found = select(*store, kErrorsName);
  EXPECT_EQ(found[0].source, Source::sent);
  EXPECT_EQ(found[0].floats[0].start_ms, start);
}

TEST_F(DeriveTest, AnErrorCounterMakesZerosOfTheVersionsOtherRoutesAndInstancesKnown) {
  const auto a = counter(kRequestsName, {{"http.route", std::string("/a")}});
  const auto b = counter(kRequestsName, {{"http.route", std::string("/b")}});
  const auto errors =
      counter(kErrorsName, {{"http.route", std::string("/a")}, {"kind", std::string("db")}});
  append(batch({point(a, kNow - 1, kNow, 1), point(b, kNow - 1, kNow, 1)}));
  append(batch({point(errors, kNow - 1, kNow + 1000, 1), point(a, kNow - 1, kNow + 1000, 2),
                point(b, kNow - 1, kNow + 1000, 2)}));
  for (int round = 0; round < 2; ++round) {
    const auto found = select(*store, kErrorsName, {{"instance", Matcher::Op::equal, "i1"}});
    ASSERT_EQ(found.size(), 2u) << "none for /a beside its own";
    for (const auto& data : found) {
      const bool own = data.labels->get("kind") == "db";
      EXPECT_EQ(data.labels->get("http_route"), own ? "/a" : "/b");
      EXPECT_EQ(values(data), own ? (Points{{1000, 1}}) : (Points{{1000, 0}}));
    }
    reopen();
    append(batch({point(a, kNow - 1, kNow + 1000, 2)})); // still known after the restart
    app = resource("shop", "stable", "1", "i2");
    append(batch({point(counter(kRequestsName), kNow - 1, kNow + 1000, 2)}));
    EXPECT_EQ(values(select(*store, kErrorsName, {{"instance", Matcher::Op::equal, "i2"}}).at(0)),
              (Points{{1000, 0}}));
  }
  app = resource("shop", "canary", "2", "i3");
  append(batch({point(counter(kRequestsName), kNow - 1, kNow + 1000, 2)}));
  EXPECT_TRUE(select(*store, kErrorsName, {{"instance", Matcher::Op::equal, "i3"}}).empty())
      << "another version may have lost its error counter";
}

TEST_F(DeriveTest, AnOwnCounterTakesItsErrorsFromItsStatusLabel) {
  const struct {
    const char* name;
    AttributeValue good;
    AttributeValue bad;
  } cases[] = {{"http.response.status_code", std::int64_t{200}, std::int64_t{503}},
               {"http.status_code", std::string("404"), std::string("500")},
               {"code", std::string("2xx"), std::string("5xx")}};
  for (const auto temporality : {Temporality::cumulative, Temporality::delta}) {
    for (const auto& c : cases) {
      app = resource("shop", "stable", c.name, temporality == Temporality::delta ? "d" : "c");
      const auto of = [&](const AttributeValue& status) {
        return series(app, std::string(kRequestsName), std::string(kRequestsName),
                      MetricKind::counter, {{c.name, status}}, "", temporality);
      };
      const auto good = of(c.good);
      const auto bad = of(c.bad);
      append(batch({point(good, kNow - 1000, kNow, 10)}));
      append(batch({point(good, kNow - 1000, kNow + 1000, 20), point(bad, kNow, kNow + 1000, 4)}));
      double total = 0;
      const auto found = select(*store, kErrorsName,
                                {{"service_version", Matcher::Op::equal, c.name},
                                 {"instance", Matcher::Op::equal, std::string(app->instance)}});
      EXPECT_EQ(found.size(), 2u) << c.name;
      for (const auto& data : found) total += data.floats.back().value;
      EXPECT_EQ(total, 4) << c.name;
    }
  }
}

TEST_F(DeriveTest, AnOwnCounterTakesItsErrorsFromTheHistogramAtItsOwnTimes) {
  const auto requests = counter(kRequestsName, {{"http.route", std::string("/a")}});
  const auto good = duration(request(200));
  const auto bad = duration(request(500));
  const auto start = kNow - 1000;
  const auto histogram = [&](std::int64_t time, std::uint64_t failed) {
    return batch({point(good, start, kNow + time, classic(seconds(), {5, 0, 0, 0, 0})),
                  point(bad, start, kNow + time, classic(seconds(), {failed, 0, 0, 0, 0}))});
  };
  auto first = histogram(2, 1);
  first.points.push_back(point(requests, start, kNow, 6));
  append(first);
  EXPECT_EQ(only(kErrorsName), (Points{{0, 1}}));
  EXPECT_EQ(select(*store, kErrorsName)[0].source, Source::sent);
  EXPECT_EQ(select(*store, kErrorsName)[0].floats[0].start_ms, start);
  append(batch({point(requests, start, kNow + 15'000, 10)}));
  append(histogram(15'002, 4)); // the same export in a second request
  EXPECT_EQ(only(kErrorsName), (Points{{0, 1}, {15'000, 4}}));
  reopen();
  append(histogram(30'000, 6)); // before the counter: waits for it
  EXPECT_EQ(only(kErrorsName), (Points{{0, 1}, {15'000, 4}}));
  append(batch({point(requests, start, kNow + 30'000, 20)}));
  EXPECT_EQ(only(kErrorsName), (Points{{0, 1}, {15'000, 4}, {30'000, 6}}));
}

TEST_F(DeriveTest, WhereOnlySpansCountErrorsTheyCountTheRequestsToo) {
  append(batch({point(counter(kRequestsName), kNow - 1000, kNow, 300)}));
  EXPECT_EQ(select(*store, kRequestsName)[0].source, Source::sent) << "better than nothing";
  Batch b = batch({});
  b.spans =
      table_of({span(app, 1, 1, kNow - 500, kNow - 400),
                span(app, 2, 2, kNow - 500, kNow - 400, SpanKind::server, StatusCode::error)});
  append(b);
  for (const auto* name : {"http_server_request_total", "http_server_request_errors_total"}) {
    const auto found = select(*store, name);
    ASSERT_EQ(found.size(), 1u) << name;
    EXPECT_EQ(found[0].source, Source::spans) << "an error rate needs both from one source";
  }
  SelectRequest every;
  every.matchers = {{"__name__", Matcher::Op::equal, std::string(kRequestsName)}};
  every.to_ms = INT64_MAX;
  every.choose_source = false;
  EXPECT_EQ(store->find(every)->size(), 2u);
  every.complete_sources = true;
  EXPECT_EQ(store->find(every)->size(), 1u);
  // Where the spans have nothing, the counter is still the best there is.
  EXPECT_EQ(select(*store, kRequestsName, {}, true, kNow + 1).size(), 0u);
  append(batch({point(counter(kRequestsName), kNow - 1000, kNow + 60'000, 500)}));
  EXPECT_EQ(select(*store, kRequestsName, {}, true, kNow + 1)[0].source, Source::sent);
}

TEST_F(DeriveTest, OneSourceAnInstanceDecidedByRequests) {
  const auto histogram = duration(request(200));
  Batch all = batch({point(histogram, kNow - 1000, kNow, classic(seconds(), {5, 0, 0, 0, 0}))});
  all.spans = table_of({span(app, 1, 1, kNow - 500, kNow - 400)});
  append(all);
  EXPECT_EQ(only(kRequestsName), (Points{{0, 5}}));
  EXPECT_EQ(select(*store, kRequestsName)[0].source, Source::histogram);
  EXPECT_EQ(select(*store, kRequestsName, {}, false).size(), 2u);
  EXPECT_EQ(select(*store, kDurationName)[0].source, Source::histogram);

  append(batch({point(counter(kRequestsName), kNow - 1000, kNow + 1, 5)}));
  EXPECT_EQ(select(*store, kRequestsName).size(), 1u);
  EXPECT_EQ(select(*store, kRequestsName)[0].source, Source::sent);
  EXPECT_EQ(select(*store, kErrorsName)[0].source, Source::sent);
  EXPECT_EQ(select(*store, kDurationName)[0].source, Source::histogram)
      << "explicit counters bring no durations: the next source";

  SelectRequest request;
  request.matchers = {{"__name__", Matcher::Op::regexp, "http_server_request.*total"}};
  request.to_ms = INT64_MAX;
  const auto by_pattern = store->select(request);
  ASSERT_TRUE(by_pattern);
  EXPECT_EQ(by_pattern->size(), 2u);
  for (const auto& data : *by_pattern) EXPECT_EQ(data.source, Source::sent);

  // The explicit counter is chosen only where it has samples.
  EXPECT_EQ(select(*store, kRequestsName, {}, true, kNow - 10, kNow)[0].source, Source::histogram);
  // Another instance decides for itself.
  app = resource("shop", "stable", "1", "other");
  Batch spans_only = batch({});
  spans_only.spans = table_of({span(app, 9, 9, kNow - 500, kNow - 400)});
  append(spans_only);
  EXPECT_EQ(select(*store, kRequestsName, {{"instance", Matcher::Op::equal, "other"}})[0].source,
            Source::spans);
}

TEST_F(DeriveTest, ADurationOfTheSameNameIsKeptAsSentAndStillDerived) {
  const auto of = series(app, std::string(kStable), std::string(kDurationName),
                         MetricKind::histogram, request(500), "");
  append(batch({point(of, kNow - 1000, kNow, classic(seconds(), {1, 1, 0, 0, 0}))}));
  const auto all = select(*store, kDurationName, {}, false);
  ASSERT_EQ(all.size(), 2u);
  const auto chosen = select(*store, kDurationName);
  ASSERT_EQ(chosen.size(), 1u);
  EXPECT_EQ(chosen[0].source, Source::histogram);
  EXPECT_EQ(chosen[0].classic[0].value.bounds->back(), 1000);
  EXPECT_EQ(only(kErrorsName), (Points{{0, 2}}));
}

TEST_F(DeriveTest, NothingIsDerivedBesideAllThreeOfTheApplicationsOwn) {
  const auto requests = counter(kRequestsName);
  const auto errors = counter(kErrorsName);
  const auto of = series(app, std::string(kDurationName), std::string(kDurationName),
                         MetricKind::histogram, request(200), "");
  const auto both = [&](std::int64_t time, std::uint64_t count) {
    append(batch({point(errors, kNow - 1000, kNow + time, 1),
                  point(requests, kNow - 1000, kNow + time, static_cast<double>(count)),
                  point(of, kNow - 1000, kNow + time, classic(seconds(), {count, 0, 0, 0, 0}))}));
  };
  const auto derived = [&] {
    for (const auto& data : select(*store, kRequestsName, {}, false)) {
      if (data.source == Source::histogram) return values(data);
    }
    return Points{};
  };
  both(0, 5);
  both(15'000, 7);
  EXPECT_EQ(select(*store, kDurationName)[0].source, Source::sent);
  EXPECT_TRUE(derived().empty());
  // Its own counter has been silent for more than five minutes. From here on we count, and only new
  // requests.
  clock.advance_ms(10 * 60'000);
  append(batch({point(of, kNow - 1000, kNow + 600'000, classic(seconds(), {20, 0, 0, 0, 0}))}));
  append(batch({point(of, kNow - 1000, kNow + 615'000, classic(seconds(), {23, 0, 0, 0, 0}))}));
  EXPECT_EQ(derived(), (Points{{600'000, 13}, {615'000, 16}}));
  EXPECT_EQ(select(*store, kRequestsName, {}, true, kNow + 599'000)[0].source, Source::histogram);
}

TEST_F(DeriveTest, TotalsGoOnAfterRestartAndSealing) {
  const auto of = duration(request(200));
  const auto at = [&](std::int64_t time, std::uint64_t count, std::uint8_t id) {
    Batch b = batch({point(of, kNow - 1000, kNow + time, classic(seconds(), {count, 0, 0, 0, 0}))},
                    kNow + time);
    b.spans = table_of({span(app, id, id, kNow + time - 100, kNow + time)});
    append(b);
  };
  at(0, 5, 1);
  reopen();
  at(15'000, 7, 2);
  clock.advance_ms(40 * 60'000);
  ASSERT_TRUE(store->maintain());
  reopen();
  at(30 * 60'000, 9, 3);
  const auto histogram = select(*store, kRequestsName);
  ASSERT_EQ(histogram.size(), 1u);
  EXPECT_EQ(values(histogram[0]), (Points{{0, 5}, {15'000, 7}, {30 * 60'000, 9}}));
  for (const auto& data : select(*store, kRequestsName, {}, false)) {
    if (data.source != Source::spans) continue;
    EXPECT_EQ(values(data), (Points{{0, 1}, {15'000, 2}, {30 * 60'000, 3}}));
  }
}

} // namespace
} // namespace coalmine::store::testing
