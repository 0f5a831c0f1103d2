// What an application counts itself, and what is derived beside it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/ingest/derive_for_test.h"

namespace coalmine::store::testing {
namespace {

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
  // Another version may have lost its error counter. Zero is a guess there, to which spans and
  // histograms are preferred.
  app = resource("shop", "canary", "2", "i3");
  const std::vector<Matcher> of = {{"instance", Matcher::Op::equal, "i3"}};
  const auto requests = counter(kRequestsName);
  append(batch({point(requests, kNow - 1, kNow + 1000, 2)}));
  EXPECT_EQ(values(select(*store, kErrorsName, of).at(0)), (Points{{1000, 0}}));
  reopen();
  Batch spans = batch({});
  spans.spans = table_of({span(app, 1, 1, kNow - 9, kNow, SpanKind::server, StatusCode::error)});
  append(spans);
  EXPECT_EQ(select(*store, kErrorsName, of).at(0).source, Source::spans);
  const auto failed = duration({{"http.response.status_code", std::int64_t{500}}});
  append(batch({point(requests, kNow - 1, kNow + 2000, 3),
                point(failed, kNow - 1, kNow + 2000, classic(seconds(), {1, 0, 0, 0, 0}))}));
  append(batch({point(requests, kNow - 1, kNow + 3000, 4)}));
  EXPECT_EQ(values(select(*store, kErrorsName, of).at(0)),
            (Points{{1000, 0}, {2000, 1}, {3000, 1}}))
      << "no zero comes back";
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

TEST_F(DeriveTest, AnOwnCounterWithoutStatusTakesItsClientErrorsFromTheHistogram) {
  const auto requests = counter(kRequestsName, {{"http.route", std::string("/a")}});
  const auto errors = counter(kErrorsName, {{"http.route", std::string("/a")}});
  const auto missing = duration(request(404));
  const auto start = kNow - 1000;
  append(batch({point(requests, start, kNow, 6), point(errors, start, kNow, 0),
                point(missing, start, kNow, classic(seconds(), {5, 0, 0, 0, 0}))}));
  EXPECT_EQ(only(kClientErrorsName), (Points{{0, 5}}));
  EXPECT_EQ(select(*store, kClientErrorsName)[0].source, Source::sent);
  EXPECT_EQ(only(kErrorsName), (Points{{0, 0}})) << "its own";
  // With a status label the counter says it itself, and nothing is lent.
  app = resource("shop", "stable", "2", "i2");
  const auto of = counter(kRequestsName, {{"code", std::string("404")}});
  append(batch({point(of, start, kNow, 6),
                point(duration(request(404)), start, kNow, classic(seconds(), {5, 0, 0, 0, 0}))}));
  EXPECT_TRUE(select(*store, kClientErrorsName, {{"instance", Matcher::Op::equal, "i2"}}).empty());
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
  every.sources = SelectRequest::Sources::complete;
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
  EXPECT_EQ(by_pattern->size(), 3u) << "requests, errors, client errors";
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

} // namespace
} // namespace coalmine::store::testing
