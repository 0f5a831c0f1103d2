// The request series of every service: which requests are counted, when, and from which
// source.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/ingest/derive_for_test.h"
#include "store/series/histogram_math.h"
#include "telemetry/durations.h"

namespace coalmine::store::testing {
namespace {

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
  EXPECT_FALSE(outcome_of_point(request(200), {}).failed);
  EXPECT_FALSE(outcome_of_point(request(404), {}).failed);
  EXPECT_TRUE(outcome_of_point(request(500), {}).failed);
  EXPECT_TRUE(outcome_of_point({{"http.status_code", std::string("502")}}, {}).failed);
  EXPECT_TRUE(outcome_of_point({{e, std::string("TimeoutError")}}, {}).failed);
  EXPECT_TRUE(outcome_of_point({{e, std::string("500")}}, {}).failed);
  EXPECT_FALSE(outcome_of_point({{e, std::string("404")}}, {}).failed);
  // ASP.NET Core writes the exception's type beside a 4xx.
  auto handled = request(404);
  handled.emplace_back(e, std::string("Shop.NotFoundException"));
  EXPECT_FALSE(outcome_of_point(handled, {}).failed);
  EXPECT_FALSE(
      outcome_of_point({{"http.status_code", std::string("499")}, {e, std::string("E")}}, {})
          .failed);
  auto broken = request(200); // the connection broke while answering
  broken.emplace_back(e, std::string("java.io.IOException"));
  EXPECT_TRUE(outcome_of_point(broken, {}).failed);
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::unset, 0, {}));
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::unset, 404, {}));
  EXPECT_TRUE(is_failed(SpanKind::server, StatusCode::unset, 500, {}));
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::ok, 500, {}));
  EXPECT_TRUE(is_failed(SpanKind::server, StatusCode::error, 0, {}));
  EXPECT_FALSE(is_failed(SpanKind::client, StatusCode::unset, 500, {})) << "the callee failed";
}

// From 0 on where HTTP statuses are known, and not at all where they are not.
TEST_F(DeriveTest, ClientErrorsAreCountedBesideErrors) {
  const auto at = [&](std::int64_t time, std::uint64_t ok, std::uint64_t missing) {
    Batch b = batch({point(duration(request(200)), kNow - 1000, kNow + time,
                           classic(seconds(), {ok, 0, 0, 0, 0}))},
                    kNow + time);
    if (missing > 0)
      b.points.push_back(point(duration(request(404)), kNow - 1000, kNow + time,
                               classic(seconds(), {missing, 0, 0, 0, 0})));
    append(b);
  };
  at(0, 5, 0);
  at(15'000, 7, 3);
  reopen();
  at(30'000, 9, 4);
  EXPECT_EQ(only(kClientErrorsName), (Points{{0, 0}, {15'000, 3}, {30'000, 4}}));
  EXPECT_EQ(only(kErrorsName).back(), (std::pair<std::int64_t, double>(30'000, 0)));
  app = resource("shop", "stable", "1", "i2");
  append(batch({point(duration({{"http.route", std::string("/a")}}), kNow - 1000, kNow,
                      classic(seconds(), {5, 0, 0, 0, 0}))}));
  EXPECT_TRUE(select(*store, kClientErrorsName, {{"instance", Matcher::Op::equal, "i2"}}).empty());
}

TEST_F(DeriveTest, ClientErrorsOfSpans) {
  const auto answered = [&](std::uint8_t id, std::int64_t status, StatusCode code) {
    return span(app, id, id, kNow - 5000, kNow - 4880, SpanKind::server, code,
                {{"http.route", std::string("/a")}, {"http.response.status_code", status}});
  };
  Batch b = batch({});
  b.spans = table_of({answered(1, 200, StatusCode::unset), answered(2, 404, StatusCode::unset),
                      answered(3, 429, StatusCode::error), answered(4, 503, StatusCode::unset)});
  append(b);
  EXPECT_EQ(only(kClientErrorsName), (Points{{0, 2}})) << "whatever the status of the span";
  EXPECT_EQ(only(kErrorsName), (Points{{0, 1}}));
  const FailedRows failed(b.spans, store->failures());
  std::vector<bool> listed;
  for (const auto& row : b.spans.rows) listed.push_back(failed.has(row));
  EXPECT_EQ(listed, (std::vector<bool>{false, false, false, true}))
      << "the list of failures agrees with the counts";
  app = resource("shop", "stable", "1", "i2");
  Batch calls = batch({});
  calls.spans = table_of({span(app, 9, 9, kNow - 5000, kNow - 4880)}); // gRPC has no HTTP status
  append(calls);
  EXPECT_TRUE(select(*store, kClientErrorsName, {{"instance", Matcher::Op::equal, "i2"}}).empty());
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
