// The request series derived from the metrics of other libraries than OpenTelemetry's: Micrometer's
// and those of Prometheus's clients, over OTLP and remote write.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "store/ingest/bucket_parts.h"
#include "store/testing.h"
#include "telemetry/request_metrics.h"

namespace coalmine::store::testing {
namespace {

using Points = std::vector<std::pair<std::int64_t, double>>;
using Part = RequestMetric::Part;

TEST(RequestMetrics, NamesThatAreKnown) {
  struct Case {
    std::string_view name;
    MetricKind kind;
    std::optional<Part> part;
    int rank = 0;
    double to_ms = 0;
  };
  const Case cases[] = {
      {"http_server_request_duration_seconds", MetricKind::histogram, Part::whole, 0, 1000},
      {"http_server_request_duration_seconds_count", MetricKind::counter, Part::count, 0, 1000},
      {"http_server_duration_milliseconds_bucket", MetricKind::counter, Part::bucket, 1, 1},
      {"http_server_requests_milliseconds", MetricKind::exponential, Part::whole, 2, 1},
      {"http_server_requests_seconds_count", MetricKind::counter, Part::count, 2, 1000},
      {"http_server_requests_seconds_sum", MetricKind::gauge, Part::sum, 2, 1000},
      {"http_requests_total", MetricKind::counter, Part::count, 3, 0},
      {"http_request_duration_seconds", MetricKind::histogram, Part::whole, 4, 1000},
      {"http_server_requests_seconds_max", MetricKind::gauge, std::nullopt},
      {"http_server_requests", MetricKind::gauge, std::nullopt},
      {"http_request_duration_seconds_total", MetricKind::counter, std::nullopt},
      {"http_client_request_duration_seconds", MetricKind::histogram, std::nullopt},
      {"http_server_request_total", MetricKind::counter, std::nullopt},
      {"prometheus_http_requests_total", MetricKind::counter, std::nullopt},
  };
  for (const auto& c : cases) {
    const auto found = find_request_metric(c.name, c.kind);
    ASSERT_EQ(found.has_value(), c.part.has_value()) << c.name;
    if (!found) continue;
    EXPECT_EQ(found->part, *c.part) << c.name;
    EXPECT_EQ(found->rank, c.rank) << c.name;
    EXPECT_EQ(found->to_ms, c.to_ms) << c.name;
  }
}

TEST(RequestMetrics, LabelsUnderOtherNames) {
  const auto read = [](std::vector<Labels::Pair> labels) {
    const auto found = request_attributes(Labels(std::move(labels)));
    return attribute_text(found, "http.route") + " " +
           attribute_text(found, "http.request.method") + " " +
           attribute_text(found, "http.response.status_code");
  };
  EXPECT_EQ(read({{"uri", "/a"}, {"method", "GET"}, {"status", "503"}}), "/a GET 503");
  EXPECT_EQ(read({{"handler", "/a"}, {"code", "5xx"}}), "/a  500");
  EXPECT_EQ(read({{"path", "/a"}, {"http_route", "/b"}, {"status_code", "204"}}), "/b  204");
  EXPECT_EQ(read({{"status", "success"}, {"code", "0"}}), "  ") << "no status of HTTP";
}

TEST(BucketParts, AreGivenOutWhenAllHaveCome) {
  BucketParts parts;
  parts.add_bucket(0.1, 0, 1000);
  parts.add_bucket(INFINITY, 0, 1000);
  EXPECT_FALSE(parts.take()) << "nothing has grown";
  parts.add_bucket(0.1, 3, 2000);
  EXPECT_FALSE(parts.take()) << "the other bucket is of the scrape before";
  parts.add_bucket(INFINITY, 5, 2000);
  const auto whole = parts.take();
  ASSERT_TRUE(whole);
  EXPECT_EQ(*whole->bounds, (std::vector<double>{0.1}));
  EXPECT_EQ(whole->counts, (std::vector<std::uint64_t>{3, 2}));
  EXPECT_EQ(whole->count, 5u);
  EXPECT_TRUE(std::isnan(whole->sum)) << "unknown, not zero";
  parts.add_sum(2.5, 3000);
  parts.add_bucket(0.1, 7, 3000);
  parts.add_bucket(INFINITY, 6, 3000);
  EXPECT_FALSE(parts.take()) << "more within the bound than at all";
  parts.add_bucket(INFINITY, 4, 400'000);
  parts.add_sum(1, 400'000);
  const auto rest = parts.take();
  ASSERT_TRUE(rest) << "a bucket that is sent no more does not hold up the others";
  EXPECT_EQ(rest->counts, (std::vector<std::uint64_t>{4}));
  EXPECT_EQ(rest->sum, 1);
}

struct RequestMetricsTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  void SetUp() override { open(); }

  // As a Collector or an SDK sends it.
  std::shared_ptr<const MetricSeries> sent(std::string name, MetricKind kind,
                                           const Attributes& attributes, std::string unit = "") {
    return series(app, name, name, kind, attributes, std::move(unit));
  }
  // As remote write has it: labels only, and a new object in every request.
  MetricPoint scraped(std::string name, std::vector<Labels::Pair> labels, std::int64_t time_ms,
                      double value) const {
    auto out = std::make_shared<MetricSeries>();
    out->resource = app;
    out->metric = std::make_shared<const MetricDescription>(MetricDescription{name, "", ""});
    out->kind = name.ends_with("_sum") ? MetricKind::gauge : MetricKind::counter;
    for (const auto [own, text] : app->labels) labels.emplace_back(own, text);
    labels.emplace_back("__name__", std::move(name));
    out->labels = Labels(std::move(labels));
    return {std::move(out), 0, ns(time_ms), false, value};
  }
  Points only(std::string_view name) {
    const auto found = select(*store, name);
    EXPECT_EQ(found.size(), 1u) << name;
    return found.empty() ? Points{} : values(found[0]);
  }
};

TEST_F(RequestMetricsTest, MicrometersTimer) {
  const auto timer = [&](std::string status) {
    return sent("http_server_requests_milliseconds", MetricKind::histogram,
                {{"uri", std::string("/a")}, {"method", std::string("GET")}, {"status", status}},
                "milliseconds");
  };
  const auto list = bounds({10, 100});
  append(batch({point(timer("200"), kNow - 1000, kNow, classic(list, {5, 3, 0}, 90)),
                point(timer("500"), kNow - 1000, kNow, classic(list, {0, 0, 2}, 900))}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 10}}));
  EXPECT_EQ(only(kErrorsName), (Points{{0, 2}}));
  const auto durations = select(*store, kDurationName);
  ASSERT_EQ(durations.size(), 1u);
  EXPECT_EQ(durations[0].labels->get("http_route"), "/a");
  EXPECT_EQ(durations[0].labels->get("http_request_method"), "GET");
  EXPECT_EQ(*durations[0].classic[0].value.bounds, (std::vector<double>{10, 100}));
  EXPECT_EQ(durations[0].classic[0].value.counts, (std::vector<std::uint64_t>{5, 3, 2}));
}

// The clients' usual pair: the counter has the status, the histogram has not.
TEST_F(RequestMetricsTest, ACounterAndADurationWithoutStatus) {
  const auto counter = [&](std::string status) {
    return sent("http_requests_total", MetricKind::counter,
                {{"handler", std::string("/a")}, {"status", status}});
  };
  const auto duration = sent("http_request_duration_seconds", MetricKind::histogram,
                             {{"handler", std::string("/a")}});
  const auto list = bounds({0.1});
  append(batch({point(duration, kNow - 1000, kNow, classic(list, {6, 4}, 3))}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 10}}));
  EXPECT_TRUE(select(*store, kErrorsName).empty()) << "what failed is not known: no 0 is invented";
  append(batch({point(duration, kNow - 1000, kNow + 1000, classic(list, {9, 6}, 4)),
                point(counter("2xx"), kNow - 1000, kNow + 1000, 12),
                point(counter("5xx"), kNow - 1000, kNow + 1000, 3)}));
  append(batch({point(duration, kNow - 1000, kNow + 2000, classic(list, {9, 6}, 4)),
                point(counter("2xx"), kNow - 1000, kNow + 2000, 16),
                point(counter("5xx"), kNow - 1000, kNow + 2000, 5)}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 10}, {1000, 10}, {2000, 16}}))
      << "the counter, which has the status, goes on where it is first seen";
  EXPECT_EQ(only(kErrorsName).back(), (Points::value_type{2000, 2}));
  const auto durations = select(*store, kDurationName);
  ASSERT_EQ(durations.size(), 1u);
  EXPECT_EQ(durations[0].classic.back().value.counts, (std::vector<std::uint64_t>{9, 6}));
}

// Two libraries in one process see the same requests.
TEST_F(RequestMetricsTest, OneMetricCountsWhateverElseIsSent) {
  const Attributes attributes = {{"http.route", std::string("/a")},
                                 {"http.response.status_code", std::int64_t{200}}};
  const auto counter = sent("http_requests_total", MetricKind::counter,
                            {{"path", std::string("/a")}, {"code", std::string("200")}});
  const auto standard =
      series(app, "http.server.request.duration", "http_server_request_duration_seconds",
             MetricKind::histogram, attributes, "s");
  const auto list = bounds({0.1});
  append(batch({point(counter, kNow - 1000, kNow, 10)}));
  append(batch({point(counter, kNow - 1000, kNow + 1000, 20),
                point(standard, kNow - 1000, kNow + 1000, classic(list, {20, 0}, 1))}));
  append(batch({point(counter, kNow - 1000, kNow + 2000, 30),
                point(standard, kNow - 1000, kNow + 2000, classic(list, {30, 0}, 1))}));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 10}, {1000, 10}, {2000, 20}}))
      << "the better metric begins where it is first seen, and nothing is counted twice";
  reopen();
  append(batch({point(counter, kNow - 1000, kNow + 3000, 40),
                point(standard, kNow - 1000, kNow + 3000, classic(list, {40, 0}, 1))}));
  EXPECT_EQ(only(kRequestsName).back(), (Points::value_type{3000, 30}));
}

TEST_F(RequestMetricsTest, RemoteWrite) {
  const auto scrape = [&](std::int64_t at, double fast, double all, double failed) {
    const std::vector<Labels::Pair> good = {{"handler", "/a"}, {"code", "200"}};
    auto out = std::vector<MetricPoint>{
        scraped("http_request_duration_seconds_count", good, kNow + at, all),
        scraped("http_request_duration_seconds_sum", good, kNow + at, all * 0.05)};
    for (const auto& [le, value] : {std::pair("0.1", fast), std::pair("+Inf", all)}) {
      auto labels = good;
      labels.emplace_back("le", le);
      out.push_back(scraped("http_request_duration_seconds_bucket", labels, kNow + at, value));
    }
    if (failed > 0) {
      out.push_back(scraped("http_request_duration_seconds_count",
                            {{"handler", "/a"}, {"code", "500"}}, kNow + at, failed));
    }
    return out;
  };
  append(batch(scrape(0, 100, 110, 0)));
  append(batch(scrape(15'000, 150, 170, 3)));
  EXPECT_EQ(only(kRequestsName), (Points{{0, 0}, {15'000, 63}}))
      << "what was counted before the first scrape is unknown; the errors began after it";
  EXPECT_EQ(only(kErrorsName), (Points{{0, 0}, {15'000, 3}}));
  // The parts of one scrape may come in two requests.
  const auto whole = scrape(30'000, 160, 190, 3);
  append(batch({whole[0], whole[1], whole[2]}));
  append(batch({whole[3], whole[4]}));
  const auto durations = select(*store, kDurationName);
  ASSERT_EQ(durations.size(), 1u);
  const auto& value = durations[0].classic.back().value;
  EXPECT_EQ(*value.bounds, (std::vector<double>{100}));
  EXPECT_EQ(value.counts, (std::vector<std::uint64_t>{60, 20}));
  EXPECT_NEAR(value.sum, 4000, 1e-6);
  EXPECT_EQ(only(kRequestsName).back(), (Points::value_type{30'000, 83}));
  EXPECT_EQ(select(*store, "http_request_duration_seconds_bucket").size(), 2u) << "kept as sent";
}

} // namespace
} // namespace coalmine::store::testing
