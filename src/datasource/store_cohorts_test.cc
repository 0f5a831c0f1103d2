// SPDX-License-Identifier: Apache-2.0
#include "cohort/cohorts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "cohort/durations.h"
#include "datasource/fake_store_for_test.h"
#include "datasource/store_cohorts.h"

namespace coalmine::datasource {
namespace {

constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::int64_t kFrom = 100 * kMinuteMs; // of every window in this file
constexpr std::int64_t kTo = 110 * kMinuteMs;
const double kStale = std::bit_cast<double>(std::uint64_t{0x7ff0000000000002});

// Samples are written {minutes after the window's start, value, start minutes after the window's
// start}.
constexpr double kUnknown = -1e9;
struct At {
  double minute;
  double value;
  double start = kUnknown;
};

std::int64_t ms(double minute) { return kFrom + static_cast<std::int64_t>(minute * kMinuteMs); }

Labels labels(std::string_view name, std::string route = "/pay", std::string instance = "a",
              std::string version = "2.4.0", std::string track = "canary") {
  return Labels::of({{std::string(kMetricName), std::string(name)},
                     {"service_name", "checkout"},
                     {"service_version", std::move(version)},
                     {"deployment_track", std::move(track)},
                     {"instance", std::move(instance)},
                     {"http_route", std::move(route)}});
}

class Cohorts : public ::testing::Test {
 protected:
  SeriesData& add(Labels of, MetricKind kind) {
    SeriesData s;
    s.id = SeriesId{store_.series.size() + 1};
    s.labels = std::make_shared<const Labels>(std::move(of));
    s.kind = kind;
    store_.series.push_back(std::move(s));
    return store_.series.back();
  }
  void counter(Labels of, std::initializer_list<At> samples) {
    auto& s = add(std::move(of), MetricKind::counter);
    for (const auto& at : samples)
      s.floats.push_back({ms(at.minute), at.start == kUnknown ? 0 : ms(at.start), at.value});
  }
  static ClassicHistogram histogram(std::vector<double> bounds, std::vector<std::uint64_t> counts) {
    ClassicHistogram out;
    for (const auto n : counts) out.count += n;
    out.sum = static_cast<double>(out.count) * 10;
    out.bounds = std::make_shared<const std::vector<double>>(std::move(bounds));
    out.counts = std::move(counts);
    return out;
  }
  cohort::CohortCounts counts() {
    const auto out = make_store_cohort_source(store_)->counts(canary_, kFrom, kTo);
    EXPECT_TRUE(out) << out.error().message;
    return out.value_or(cohort::CohortCounts{});
  }

  FakeStore store_;
  cohort::CohortSelector canary_{{{"service_name", Matcher::Op::equal, "checkout"},
                                  {"deployment_track", Matcher::Op::equal, "canary"}}};
};

// The contribution of one requests series to the window.
TEST_F(Cohorts, Increments) {
  struct Case {
    const char* name;
    std::vector<At> samples;
    double expected;
  };
  const Case cases[] = {
      {"from the last sample before the window", {{-2, 10}, {-1, 100}, {1, 130}, {9, 200}}, 100},
      {"a sample at the very start is the baseline", {{0, 100}, {10, 160}}, 60},
      {"one before only", {{-1, 100}}, 0},
      {"no change", {{-1, 100}, {5, 100}}, 0},
      {"first point of a new process counts in full", {{1, 40, 0.5}, {2, 60, 0.5}}, 60},
      {"a process that started just before the window is new", {{1, 40, -0.9}}, 40},
      {"and one that started some minutes before, and was not seen then",
       {{1, 40, -9}, {2, 60, -9}},
       60},
      {"but not when it was seen before", {{-5, 30, -9}, {1, 40, -9}, {2, 60, -9}}, 30},
      {"one that started long before is not", {{1, 40, -11}, {2, 60, -11}}, 20},
      {"unknown start: a baseline", {{1, 40}, {2, 60}}, 20},
      {"start at the point itself says nothing", {{1, 40, 1}, {2, 60, 1}}, 20},
      {"the value fell: a reset", {{-1, 100}, {1, 120}, {2, 30}, {3, 50}}, 70},
      {"start moved: a restart, even when the value is higher",
       {{-1, 100, -60}, {1, 150, 0.2}, {2, 160, 0.2}},
       160},
      {"two restarts", {{-1, 100, -60}, {1, 10, 0.5}, {2, 5, 1.5}, {3, 7, 1.5}}, 17},
      {"restart across the window's start", {{-1, 100, -60}, {1, 20, -0.5}}, 20},
      {"stale markers are no values", {{-1, 100}, {1, kStale}, {2, 130}, {3, kStale}}, 30},
      {"stale before the window", {{-2, 100}, {-1, kStale}, {2, 130}}, 30},
      {"nothing but stale", {{1, kStale}}, 0},
      {"a gap of nearly ten minutes", {{-9.9, 100}, {5, 180}}, 80},
      {"a gap of hours: the last number still counts", {{-99, 100, -99.5}, {5, 103, -99.5}}, 3},
  };
  for (const auto& c : cases) {
    store_ = FakeStore();
    auto& s = add(labels(kRequestsName), MetricKind::counter);
    for (const auto& at : c.samples)
      s.floats.push_back({ms(at.minute), at.start == kUnknown ? 0 : ms(at.start), at.value});
    const auto got = counts();
    const double requests = got.routes.empty() ? 0 : got.routes[0].counts.requests;
    EXPECT_DOUBLE_EQ(requests, c.expected) << c.name;
  }
}

TEST_F(Cohorts, ZeroErrorsAreZero) {
  counter(labels(kRequestsName), {{-1, 0, -2}, {5, 500, -2}});
  counter(labels(kErrorsName), {{-1, 0, -2}, {5, 0, -2}});
  const auto got = counts();
  ASSERT_EQ(got.routes.size(), 1u);
  EXPECT_EQ(got.routes[0].counts.requests, 500);
  EXPECT_EQ(got.routes[0].counts.errors, 0);
  EXPECT_EQ(got.routes[0].counts.bounds_ms, nullptr);
}

// The store counted by its own rules; what they name is no client error beside that.
TEST_F(Cohorts, StatusesThatCountAsErrorsAreNoClientErrors) {
  for (const auto* status : {"200", "404", "429"})
    counter(labels(kRequestsName).with("http_response_status_code", status), {{-1, 0}, {5, 10}});
  EXPECT_EQ(counts().routes.at(0).counts.client_errors, 20);
  store_.rules =
      FailureRules(FailureRules::ByService{{"checkout", {.also = {{429, 429}}, .except = {}}}});
  EXPECT_EQ(counts().routes.at(0).counts.client_errors, 10);
  EXPECT_EQ(counts().routes.at(0).counts.answered, 30);
}

TEST_F(Cohorts, TheFirstErrorOfARouteCountsInFull) {
  // The process started long ago; its error series appears with the first error, minutes into the
  // window.
  counter(labels(kRequestsName), {{-1, 1000, -60}, {1, 1100, -60}, {2, 1200, -60}});
  counter(labels(kErrorsName), {{2, 7, -60}});
  EXPECT_EQ(counts().routes.at(0).counts.errors, 7);
}

TEST_F(Cohorts, AnErrorSeriesInTheFirstExportOfAnOldProcessIsABaseline) {
  // An old process is first seen in the window. Its counts come from an unknown past.
  counter(labels(kRequestsName), {{1, 1000, -60}, {2, 1100, -60}});
  counter(labels(kErrorsName),
          {{1.001, 900, -60}, {2, 905, -60}}); // milliseconds apart: the same export
  const auto got = counts();
  EXPECT_EQ(got.routes.at(0).counts.requests, 100);
  EXPECT_EQ(got.routes.at(0).counts.errors, 5);
}

TEST_F(Cohorts, ARareSeriesIsNotCountedFromItsBeginning) {
  // This series is derived from spans and has samples only when something happened. Other series of
  // the instance have samples all the time.
  counter(labels(kRequestsName, "/busy"), {{-1, 1000, -90}, {1, 1100, -90}});
  counter(labels(kRequestsName, "/rare"), {{-60, 5000, -90}, {3, 5002, -90}});
  const auto got = counts();
  ASSERT_EQ(got.routes.size(), 2u);
  EXPECT_EQ(got.routes[1].route, "/rare");
  EXPECT_EQ(got.routes[1].counts.requests, 2);
}

TEST_F(Cohorts, InstancesAddUpAndRoutesAreSorted) {
  counter(labels(kRequestsName, "/pay", "a"), {{-1, 100}, {5, 150}});
  counter(labels(kRequestsName, "/pay", "b"), {{-1, 1000}, {6, 1030}});
  counter(labels(kRequestsName, "/cart", "b"), {{-1, 0}, {6, 200}});
  counter(labels(kRequestsName, "", "b"), {{-1, 0}, {6, 1}});
  counter(labels(kRequestsName, "/pay", "gone"), {{-5, 77}});
  counter(labels(kRequestsName, "/pay", "s", "2.3.0", "stable"), {{-1, 0}, {6, 9999}});
  const auto got = counts();
  ASSERT_EQ(got.routes.size(), 3u);
  EXPECT_EQ(got.routes[0].route, "/cart");
  EXPECT_EQ(got.routes[1].counts.requests, 80);
  EXPECT_EQ(got.routes[2].route, "");
  EXPECT_EQ(got.instances, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(got.last_ms, ms(6));
}

TEST_F(Cohorts, ANewVersionOnTheSameInstanceIsAnotherProcess) {
  counter(labels(kRequestsName, "/pay", "a", "2.4.0"), {{-3, 900, -60}, {-2, 950, -60}});
  counter(labels(kRequestsName, "/pay", "a", "2.4.1"), {{1, 30, 0.1}});
  EXPECT_EQ(counts().routes.at(0).counts.requests, 30);
}

TEST_F(Cohorts, DurationsAreBucketwiseAndMerged) {
  auto& a = add(labels(kDurationName, "/pay", "a"), MetricKind::histogram);
  a.classic.push_back({ms(-1), ms(-60), false, histogram({10, 100}, {5, 5, 0})});
  a.classic.push_back({ms(1), 0, true, {}});
  a.classic.push_back({ms(2), ms(-60), false, histogram({10, 100}, {8, 6, 1})});
  a.classic.push_back({ms(3), ms(2.5), false, histogram({10, 100}, {1, 0, 1})}); // restarted
  auto& b = add(labels(kDurationName, "/pay", "b"), MetricKind::histogram);
  // Other bounds: what is in both is kept.
  b.classic.push_back({ms(4), ms(0.5), false, histogram({5, 10, 50, 100}, {1, 1, 2, 1, 4})});
  auto& c = add(labels(kDurationName, "/pay", "c"), MetricKind::histogram);
  c.classic.push_back({ms(4), ms(0.5), false, histogram({}, {9})}); // count and sum only
  const auto got = counts();
  ASSERT_EQ(got.routes.size(), 1u);
  const auto& merged = got.routes[0].counts;
  EXPECT_EQ(*merged.bounds_ms, (std::vector<double>{10, 100}));
  EXPECT_EQ(merged.bucket_counts, (std::vector<double>{3 + 1 + 2, 1 + 3, 1 + 1 + 4}));
  EXPECT_EQ(merged.timed, 5 + 2 + 9);
  EXPECT_EQ(merged.bounds_note, "");
  auto& d = add(labels(kDurationName, "/pay", "d"), MetricKind::histogram);
  d.classic.push_back({ms(4), ms(0.5), false, histogram({7}, {1, 2})});
  const auto none = counts();
  EXPECT_EQ(none.routes[0].counts.bounds_ms, nullptr);
  EXPECT_NE(none.routes[0].counts.bounds_note.find("7 ms"), std::string::npos);
}

TEST_F(Cohorts, DurationsMeasuredFinelyAreCountedOnce) {
  const auto exponential = [](int scale, std::int32_t offset, std::vector<std::uint64_t> n) {
    ExponentialHistogram out;
    out.scale = scale;
    for (const auto one : n) out.count += one;
    out.sum = static_cast<double>(out.count);
    out.positive = {offset, std::move(n)};
    return out;
  };
  auto& coarse = add(labels(kDurationName), MetricKind::histogram);
  coarse.source = Source::spans;
  coarse.classic.push_back({ms(-1), ms(-60), false, histogram({1000, 2000}, {5, 0, 0})});
  coarse.classic.push_back({ms(2), ms(-60), false, histogram({1000, 2000}, {5, 4, 0})});
  auto& fine = add(labels(kDurationName), MetricKind::exponential);
  fine.source = Source::spans;
  fine.exponential.push_back({ms(-1), ms(-60), false, exponential(3, -8, {5})});
  fine.exponential.push_back(
      {ms(2), ms(-60), false, exponential(3, -8, {5, 0, 0, 0, 0, 0, 0, 0, 4})});
  const auto got = counts();
  ASSERT_EQ(got.routes.size(), 1u);
  const auto& merged = got.routes[0].counts;
  EXPECT_EQ(merged.timed, 4);
  EXPECT_EQ(merged.bounds_ms, cohort::judged_bounds_ms(3));
  EXPECT_DOUBLE_EQ(merged.sum_ms, 4000);
  const auto at = std::ranges::lower_bound(*merged.bounds_ms, 1001) - merged.bounds_ms->begin();
  EXPECT_EQ(merged.bucket_counts[static_cast<std::size_t>(at)], 4) << "(1 s, 1.09 s]";

  // The application's own, in milliseconds unless it says otherwise.
  store_ = FakeStore();
  auto& own = add(labels(kDurationName), MetricKind::exponential);
  own.exponential.push_back({ms(2), ms(0.5), false, exponential(4, 159, {3})}); // 981 to 1024 ms
  EXPECT_NEAR(counts().routes.at(0).counts.sum_ms, 3, 1e-9);
}

TEST_F(Cohorts, ABucketThatFallsIsAReset) {
  auto& a = add(labels(kDurationName), MetricKind::histogram);
  a.classic.push_back({ms(-1), 0, false, histogram({10}, {9, 1})});
  a.classic.push_back({ms(2), 0, false, histogram({10}, {2, 20})});
  EXPECT_EQ(counts().routes.at(0).counts.bucket_counts, (std::vector<double>{2, 20}));
}

TEST_F(Cohorts, NothingEverReceivedIsNotZero) {
  auto got = counts();
  EXPECT_FALSE(got.any_series);
  EXPECT_EQ(got.first_ms, 0);
  EXPECT_TRUE(got.routes.empty());
  store_.present.push_back({"checkout", "stable", "2.3.0", "s", "production", ms(-60), ms(5), 0});
  EXPECT_FALSE(counts().any_series);
  store_.present.push_back({"checkout", "canary", "2.4.0", "a", "production", ms(-50), ms(-40), 0});
  store_.present.push_back({"checkout", "canary", "2.4.0", "b", "production", ms(-55), ms(-40), 0});
  got = counts();
  EXPECT_TRUE(got.any_series); // it did report once, so the window is zero and not unknown
  EXPECT_EQ(got.first_ms, ms(-55));
  canary_.matchers.push_back({"service_version", Matcher::Op::regexp, "2\\.5\\..*"});
  EXPECT_FALSE(counts().any_series);
  canary_.matchers.back() = {"deployment_environment", Matcher::Op::regexp, "production|"};
  EXPECT_TRUE(counts().any_series);
}

TEST_F(Cohorts, SelectorsBeyondPresenceGoThroughTheSeries) {
  store_.present.push_back({"checkout", "", "2.3.0", "s", "", ms(-90), ms(5), 0});
  store_.present.push_back({"checkout", "", "2.4.0", "a", "", ms(-30), ms(5), 0});
  canary_.matchers = {{"service_name", Matcher::Op::equal, "checkout"},
                      {"role", Matcher::Op::equal, "canary"}};
  EXPECT_FALSE(counts().any_series);
  counter(labels(kRequestsName, "/pay", "a", "2.4.0", "").with("role", "canary"), {{-20, 10}});
  const auto got = counts();
  EXPECT_TRUE(got.any_series);
  EXPECT_EQ(got.first_ms, ms(-30));
  EXPECT_TRUE(got.routes.empty());
}

TEST_F(Cohorts, ErrorsOfTheStoreAreHandedOn) {
  store_.broken = Error{ErrorCode::unavailable, "disk gone"};
  const auto source = make_store_cohort_source(store_);
  EXPECT_EQ(source->counts(canary_, kFrom, kTo).error().code, ErrorCode::unavailable);
  store_.broken.reset();
  canary_.matchers.push_back({"role", Matcher::Op::regexp, "("});
  EXPECT_EQ(source->counts(canary_, kFrom, kTo).error().code, ErrorCode::invalid_argument);
}

TEST_F(Cohorts, AllThreeAreReadOverTheSameRange) {
  counter(labels(kRequestsName), {{-1, 1}, {1, 2}});
  counts();
  ASSERT_GE(store_.requests.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(store_.requests[i].from_ms, store_.requests[0].from_ms);
    EXPECT_EQ(store_.requests[i].to_ms, kTo);
    EXPECT_TRUE(store_.requests[i].choose_source);
  }
}

} // namespace
} // namespace coalmine::datasource
