// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/metric_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace coalmine::rollout {
namespace {

// Counts what is asked; the canary converts one in four, stable one in two.
class FakeMetrics final : public cohort::MetricSource {
 public:
  struct Asked {
    std::int64_t from_ms = 0, to_ms = 0;
    bool canary = false;
    bool operator==(const Asked&) const = default;
  };
  Result<cohort::RatioCounts> ratio(const cohort::CohortSelector& cohort, const std::string&,
                                    const std::string&, std::int64_t from_ms,
                                    std::int64_t to_ms) const override {
    if (down) return fail(ErrorCode::unavailable, "connection refused");
    ++asked;
    const bool canary =
        std::ranges::any_of(cohort.matchers, [](const Matcher& m) { return m.value == "canary"; });
    ratios.push_back({from_ms, to_ms, canary});
    return cohort::RatioCounts{true, canary ? 25.0 : 50.0, whole};
  }
  Result<std::optional<double>> value(std::string_view promql, const cohort::SignalScope& scope,
                                      std::int64_t time_ms) const override {
    ++asked;
    if (down) return fail(ErrorCode::unavailable, "connection refused");
    if (promql == "many") return fail(ErrorCode::invalid_argument, "it gives 2 series");
    if (promql == "slow") return fail(ErrorCode::deadline_exceeded, "no answer in 10 s");
    if (promql == "secret") return fail(ErrorCode::permission_denied, "403: not yours");
    if (promql == "unknown") return fail(ErrorCode::not_found, "404: no such tenant");
    if (promql == "subquery") return fail(ErrorCode::unimplemented, "no subqueries here");
    if (promql == "huge") return fail(ErrorCode::resource_exhausted, "too many samples");
    if (promql == "thrown") throw std::runtime_error("out of memory");
    values.push_back({time_ms - scope.window_ms, time_ms, scope.track == "canary"});
    return std::optional(scope.track == "canary" ? 2.0 : 1.0);
  }
  mutable std::vector<Asked> ratios;
  mutable std::vector<Asked> values;
  mutable int asked = 0;
  bool down = false;
  double whole = 100;
};

class FakeCells final : public EvidenceFeed {
 public:
  Result<std::vector<CountCell>> read(const FeedView&, std::int64_t) override {
    return std::exchange(ready, {});
  }
  std::int64_t read_until_ms() const override { return 0; }
  bool caught_up() const override { return true; }
  judge::TrackTotals totals_since(std::int64_t) const override {
    return {.canary_requests = 7, .canary_errors = 0, .stable_requests = 8, .stable_errors = 0};
  }
  double requests_since(Track, std::int64_t) const override { return 0; }
  double awaited_since(std::int64_t) const override { return 0; }
  FeedProgress progress(Track) const override { return {}; }
  TrackInstances instances(Track, std::int64_t) const override { return {}; }
  std::vector<CountCell> ready;
};

enum class Baseline { no, yes };

CountCell cell(std::int64_t index, Baseline baseline = Baseline::no) {
  CountCell out;
  out.from_ms = index * 10'000;
  out.to_ms = out.from_ms + 10'000;
  out.baseline = baseline == Baseline::yes;
  return out;
}

MetricScope scope_of(std::vector<MetricSpec> metrics) {
  RolloutSpec spec;
  spec.service = "shop";
  for (const auto& m : metrics) {
    judge::SignalSpec signal;
    signal.name = m.name;
    signal.kind = m.promql.empty() ? judge::SignalKind::ratio : judge::SignalKind::value;
    spec.signals.push_back(signal);
  }
  spec.metrics = std::move(metrics);
  return {std::make_shared<const RolloutSpec>(std::move(spec)), "2", "1"};
}

const MetricSpec kConversion{"conversion", "orders_total", "checkouts_total", ""};
const MetricSpec kMemory{"memory", "", "", "max(memory)"};

TEST(MetricFeed, CountersOfEveryCellAndExpressionsOfBlocks) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source, scope_of({kConversion, kMemory}));
  give->ready = {
      cell(1, Baseline::yes), cell(2, Baseline::yes), cell(3), cell(4), cell(5), cell(6)};
  const auto out = feed->read({}, 0);
  ASSERT_TRUE(out);
  ASSERT_EQ(out->size(), 6u);
  // Stable's past in one go, at the last cell of it.
  EXPECT_TRUE((*out)[0].metrics.empty());
  ASSERT_EQ((*out)[1].metrics.size(), 1u);
  EXPECT_FALSE((*out)[1].metrics[0].canary.has_data);
  EXPECT_EQ((*out)[1].metrics[0].stable.amount, 50);
  EXPECT_EQ(source.ratios[0], (FakeMetrics::Asked{10'000, 30'000, false}));
  EXPECT_EQ(source.ratios[1], (FakeMetrics::Asked{30'000, 40'000, true}));
  EXPECT_EQ((*out)[2].metrics[0].canary.value(), 0.25);
  // One block of three cells, and the next is not full.
  EXPECT_EQ((*out)[3].metrics.size(), 1u);
  ASSERT_EQ((*out)[4].metrics.size(), 2u);
  EXPECT_EQ((*out)[4].metrics[1].canary.value(), 2);
  EXPECT_EQ((*out)[5].metrics.size(), 1u);
  EXPECT_EQ(source.values,
            (std::vector<FakeMetrics::Asked>{{30'000, 60'000, true}, {30'000, 60'000, false}}));
  EXPECT_EQ(feed->totals_since(0).stable_requests, 8);
}

TEST(MetricFeed, OfACellOfTwoSplitsOnlyValuesAreRead) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source, scope_of({kConversion, kMemory}));
  give->ready = {cell(1), cell(2), cell(3)};
  give->ready.back().mixed = true;
  const auto out = feed->read({}, 0);
  ASSERT_TRUE(out);
  ASSERT_EQ(out->back().metrics.size(), 1u);
  EXPECT_EQ(out->back().metrics[0].signal, "memory");
}

// What the counters counted in the meantime is read when they can be read again.
TEST(MetricFeed, AnOutageHoldsNoCellAndLosesNoCount) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source, scope_of({kConversion}));
  source.down = true;
  give->ready = {cell(1), cell(2)};
  const auto blind = feed->read({}, 0);
  ASSERT_TRUE(blind);
  ASSERT_EQ(blind->size(), 2u);
  for (const auto& c : *blind) {
    ASSERT_EQ(c.metrics.size(), 1u);
    EXPECT_EQ(c.metrics[0].problem, "connection refused");
    EXPECT_FALSE(c.metrics[0].canary.has_data);
  }
  source.down = false;
  give->ready = {cell(3)};
  const auto seen = feed->read({}, kAskAgainMs);
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->size(), 1u);
  EXPECT_EQ((*seen)[0].metrics[0].problem, "");
  EXPECT_EQ(source.ratios[0], (FakeMetrics::Asked{10'000, 40'000, true}));
  give->ready = {cell(4)};
  ASSERT_TRUE(feed->read({}, kAskAgainMs));
  EXPECT_EQ(source.ratios[2], (FakeMetrics::Asked{40'000, 50'000, true}));
}

// Counts from before a change of weight would mix two splits.
TEST(MetricFeed, WhatWasNotReadBeforeAChangeOfWeightIsGivenUp) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source, scope_of({kConversion}));
  source.down = true;
  give->ready = {cell(1)};
  ASSERT_TRUE(feed->read({}, 0));
  source.down = false;
  give->ready = {cell(2), cell(3)};
  give->ready.front().mixed = true;
  ASSERT_TRUE(feed->read({}, kAskAgainMs));
  EXPECT_EQ(source.ratios[0], (FakeMetrics::Asked{30'000, 40'000, true}));
}

TEST(MetricFeed, AfterARestartOneReadFillsSomeCellsAndTheNextGoesOn) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source, scope_of({kConversion}));
  for (std::size_t i = 1; i <= kMostFilled + 5; ++i)
    give->ready.push_back(cell(static_cast<std::int64_t>(i)));
  const auto first = feed->read({}, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), kMostFilled);
  EXPECT_FALSE(feed->caught_up());
  give->ready = {cell(1'000)}; // is not asked for before the rest has been given out
  const auto rest = feed->read({}, 0);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->size(), 5u);
  EXPECT_TRUE(feed->caught_up());
  EXPECT_EQ(feed->read({}, 0)->size(), 1u);
}

TEST(MetricReader, NoFaultOfOneMetricKeepsTheOthersFromBeingRead) {
  for (const char* promql : {"many", "slow", "secret", "unknown", "subquery", "huge", "thrown"}) {
    FakeMetrics source;
    MetricReader reader(source, scope_of({{"broken", "", "", promql}, kConversion, kMemory}));
    const auto out = reader.read_window(0, 60'000, 1'000);
    ASSERT_EQ(out.size(), 3u) << promql;
    EXPECT_EQ(out[0].stable.value(), 0.5) << promql; // the counters come first
    EXPECT_EQ(out[1].signal, "broken") << promql;
    EXPECT_NE(out[1].problem, "") << promql;
    const bool waited = std::string(promql) == "slow";
    EXPECT_EQ(out[2].problem.empty(), !waited) << promql;
    // What was waited for in vain is left alone, and the others are read.
    const auto next = reader.read_window(0, 60'000, 6'000);
    ASSERT_EQ(next.size(), 3u) << promql;
    for (const auto& m : next) EXPECT_EQ(m.problem.empty(), m.signal != "broken") << promql;
  }
}

// However many do not answer, a look waits for one of them, and each is left alone for longer and
// longer.
TEST(MetricReader, ALookWaitsInVainOnce) {
  FakeMetrics source;
  MetricReader reader(source, scope_of({{"a", "", "", "slow"}, {"b", "", "", "slow"}, kMemory}));
  for (std::int64_t look = 0; look < 3; ++look) {
    source.asked = 0;
    const auto out = reader.read_window(0, 60'000, look * 5'000);
    EXPECT_LE(source.asked, 3) << look;
    ASSERT_EQ(out.size(), 3u);
  }
  source.asked = 0;
  EXPECT_EQ(reader.read_window(0, 60'000, 15'000).size(), 3u);
  EXPECT_EQ(source.asked, 2) << "only the one that answers, for both tracks";
  for (std::int64_t now = 20'000; now < 3'600'000; now += 5'000)
    (void)reader.read_window(0, 60'000, now);
  EXPECT_LT(source.asked, 2 * 720 + 2 * 20);
}

TEST(MetricFeed, AFaultOfTheMetricIsToldAndStopsNothing) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source,
                                     scope_of({{"broken", "", "", "many"}, kConversion}));
  give->ready = {cell(1), cell(2), cell(3)};
  source.whole = 30; // of the canary 25, of stable 50: more than all
  const auto out = feed->read({}, 0);
  ASSERT_TRUE(out);
  const auto& last = out->back().metrics;
  ASSERT_EQ(last.size(), 2u);
  EXPECT_EQ(last[0].problem,
            "orders_total grows faster than checkouts_total, so it cannot be a part of it");
  EXPECT_EQ(last[1].problem, "it gives 2 series");
}

TEST(WindowMetrics, BothKindsOverTheWindow) {
  FakeMetrics source;
  const auto out =
      MetricReader(source, scope_of({kConversion, kMemory})).read_window(1'000, 61'000, 61'000);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].stable.value(), 0.5);
  EXPECT_EQ(source.values[0], (FakeMetrics::Asked{1'000, 61'000, true}));
}

} // namespace
} // namespace coalmine::rollout
