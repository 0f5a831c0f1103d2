// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/metric_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
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
    const bool canary =
        std::ranges::any_of(cohort.matchers, [](const Matcher& m) { return m.value == "canary"; });
    ratios.push_back({from_ms, to_ms, canary});
    return cohort::RatioCounts{true, canary ? 25.0 : 50.0, whole};
  }
  Result<std::optional<double>> value(std::string_view promql, const cohort::SignalScope& scope,
                                      std::int64_t time_ms) const override {
    if (down) return fail(ErrorCode::unavailable, "connection refused");
    if (promql == "many") return fail(ErrorCode::invalid_argument, "it gives 2 series");
    values.push_back({time_ms - scope.window_ms, time_ms, scope.track == "canary"});
    return std::optional(scope.track == "canary" ? 2.0 : 1.0);
  }
  mutable std::vector<Asked> ratios;
  mutable std::vector<Asked> values;
  bool down = false;
  double whole = 100;
};

class FakeCells final : public EvidenceFeed {
 public:
  Result<std::vector<CountCell>> read(const FeedView&, std::int64_t) override {
    return std::exchange(ready, {});
  }
  FeedTotals totals_since(std::int64_t) const override { return {7, 8}; }
  FeedProgress progress(Track) const override { return {}; }
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
  EXPECT_EQ(feed->totals_since(0).stable, 8);
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

TEST(MetricFeed, AnOutageLosesNoCell) {
  FakeMetrics source;
  auto cells = std::make_unique<FakeCells>();
  auto* give = cells.get();
  const auto feed = make_metric_feed(std::move(cells), source, scope_of({kConversion}));
  source.down = true;
  give->ready = {cell(1), cell(2)};
  const auto none = feed->read({}, 0);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::unavailable);
  source.down = false;
  give->ready = {cell(3)};
  const auto all = feed->read({}, 0);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3u);
  for (const auto& c : *all) EXPECT_EQ(c.metrics.size(), 1u);
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
  const auto out = read_window_metrics(source, scope_of({kConversion, kMemory}), 1'000, 61'000);
  ASSERT_TRUE(out);
  ASSERT_EQ(out->size(), 2u);
  EXPECT_EQ((*out)[0].stable.value(), 0.5);
  EXPECT_EQ(source.values[0], (FakeMetrics::Asked{1'000, 61'000, true}));
}

} // namespace
} // namespace coalmine::rollout
