// The embedded store as remote write fills it: judged as what came by OTLP.
// SPDX-License-Identifier: Apache-2.0
#include "datasource/own_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "cohort/count_grid.h"
#include "datasource/fake_store_for_test.h"
#include "datasource/store_queryable.h"
#include "datasource/tracks_for_test.h"

namespace coalmine::datasource {
namespace {

// Two instances of a service: the canary's begins after the rollout did.
class OwnSource : public ::testing::Test {
 protected:
  Labels labels(const char* of_track, const std::string& name, std::vector<Labels::Pair> more) {
    std::vector<Labels::Pair> out = {{"__name__", name},
                                     {"service_name", "checkout"},
                                     {"deployment_track", of_track},
                                     {"instance", of_track},
                                     {"http_route", "/pay"}};
    out.insert(out.end(), more.begin(), more.end());
    return Labels(std::move(out));
  }
  // Grows by rate a second since the process began; as remote write gives it, without start times.
  void written(const char* of_track, const std::string& name, double began, double rate,
               std::vector<Labels::Pair> more = {}) {
    SeriesData s;
    s.id = SeriesId{store_.series.size() + 1};
    s.labels = std::make_shared<const Labels>(labels(of_track, name, std::move(more)));
    s.kind = MetricKind::counter;
    for (double t = std::max(began + 15, -900.0); t <= 600; t += 15)
      s.floats.push_back({at(t), 0, std::round(rate * (t - began))});
    store_.series.push_back(std::move(s));
  }
  void release(const char* of_track, double began, double rate, double failing) {
    const std::string base = "http_server_request_duration_seconds";
    for (const auto& [status, share] : {std::pair("200", 1 - failing), std::pair("503", failing)}) {
      const Labels::Pair code = {"http_response_status_code", status};
      written(of_track, base + "_count", began, rate * share, {code});
      written(of_track, base + "_sum", began, rate * share * 0.08, {code});
      written(of_track, base + "_bucket", began, rate * share * 0.9, {code, {"le", "0.1"}});
      written(of_track, base + "_bucket", began, rate * share, {code, {"le", "+Inf"}});
    }
  }
  FakeStore store_;
};

TEST_F(OwnSource, WhatWasWrittenIsCounted) {
  release("stable", -5000, 100, 0.01);
  release("canary", 0, 10, 0.1);
  const auto data = make_store_queryable(store_);
  const auto source = make_own_cohort_source(store_, *data);
  const auto stable = source->counts(track("stable"), at(0), at(600));
  ASSERT_TRUE(stable) << stable.error().message;
  ASSERT_EQ(stable->routes.size(), 1u);
  EXPECT_NEAR(stable->routes[0].counts.requests, 60'000, 5);
  EXPECT_NEAR(stable->routes[0].counts.errors, 600, 5);
  EXPECT_NEAR(stable->routes[0].counts.timed, 60'000, 5);
  const auto canary = source->counts(track("canary"), at(0), at(600));
  ASSERT_TRUE(canary);
  ASSERT_EQ(canary->routes.size(), 1u);
  EXPECT_NEAR(canary->routes[0].counts.requests, 6'000, 2) << "its first sample counts";
  EXPECT_NEAR(canary->routes[0].counts.errors, 600, 2);

  const auto feeds = make_own_count_feed_source(store_, *data);
  cohort::GridOptions options;
  options.origin_ms = kOrigin;
  options.unseen_instances_begin_at_zero = feeds->traits().unseen_instances_begin_at_zero;
  cohort::CountGrid grid(options);
  const auto feed = feeds->open({track("canary"), track("stable"), kOrigin});
  double requests = 0;
  double errors = 0;
  double timed = 0;
  for (double now = 0; now <= 600; now += 30) {
    ASSERT_TRUE(feed->read(grid, at(now)));
    for (const auto& cell : grid.close(at(now))) {
      requests += cell.total.canary.requests;
      errors += cell.total.canary.errors;
      timed += cell.total.stable.timed;
    }
  }
  EXPECT_NEAR(requests, 6'000, 2);
  EXPECT_NEAR(errors, 600, 2);
  EXPECT_GT(timed, 55'000);
}

TEST_F(OwnSource, TheValuesOfALabelAreThoseOfTheStore) {
  release("stable", -5000, 100, 0.01);
  const auto data = make_store_queryable(store_);
  const auto source = make_own_cohort_source(store_, *data);
  const cohort::CohortSelector service{{{"service_name", Matcher::Op::equal, "checkout"}}};
  EXPECT_EQ(source->label_values(service, "deployment_track", at(0), at(600)),
            std::vector<std::string>{"stable"});
}

// A process that reports in both ways counts once.
TEST_F(OwnSource, WhatCameByOtlpGoesFirst) {
  release("stable", -5000, 100, 0.01);
  SeriesData s;
  s.id = SeriesId{1000};
  s.labels = std::make_shared<const Labels>(labels("stable", std::string(kRequestsName), {}));
  s.kind = MetricKind::counter;
  s.source = Source::histogram;
  for (double t = -900; t <= 600; t += 15) s.floats.push_back({at(t), at(-5000), 7 * (t + 5000)});
  store_.series.push_back(std::move(s));
  const auto data = make_store_queryable(store_);
  const auto got = make_own_cohort_source(store_, *data)->counts(track("stable"), at(0), at(600));
  ASSERT_TRUE(got);
  ASSERT_EQ(got->routes.size(), 1u);
  EXPECT_NEAR(got->routes[0].counts.requests, 4'200, 1);
}

// A collector that keeps failing traces and a tenth of the others, and counts all before it does.
TEST_F(OwnSource, SampledSpansAreNotCountedWhereAMetricIs) {
  for (const auto& [name, rate] : {std::pair(kRequestsName, 2.0), std::pair(kErrorsName, 1.0)}) {
    SeriesData s;
    s.id = SeriesId{store_.series.size() + 1};
    s.labels = std::make_shared<const Labels>(labels("canary", std::string(name), {}));
    s.kind = MetricKind::counter;
    s.source = Source::spans;
    for (double t = 15; t <= 600; t += 15) s.floats.push_back({at(t), at(0), rate * t});
    store_.series.push_back(std::move(s));
  }
  const auto data = make_store_queryable(store_);
  const auto source = make_own_cohort_source(store_, *data);
  const auto spans = source->counts(track("canary"), at(0), at(600));
  ASSERT_TRUE(spans);
  ASSERT_EQ(spans->routes.size(), 1u);
  EXPECT_NEAR(spans->routes[0].counts.requests, 1'200, 1) << "there is nothing else";

  const Labels::Pair server = {"span_kind", "SPAN_KIND_SERVER"};
  written("canary", "traces_span_metrics_calls_total", 0, 9,
          {server, {"status_code", "STATUS_CODE_UNSET"}});
  written("canary", "traces_span_metrics_calls_total", 0, 1,
          {server, {"status_code", "STATUS_CODE_ERROR"}});
  const auto all = source->counts(track("canary"), at(0), at(600));
  ASSERT_TRUE(all);
  ASSERT_EQ(all->routes.size(), 1u);
  EXPECT_NEAR(all->routes[0].counts.requests, 6'000, 2);
  EXPECT_NEAR(all->routes[0].counts.errors, 600, 2);
}

} // namespace
} // namespace coalmine::datasource
