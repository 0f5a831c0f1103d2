// SPDX-License-Identifier: Apache-2.0
#include "cohort/span_sampling.h"

#include <gtest/gtest.h>

#include "cohort/count_grid.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

constexpr std::int64_t kMinute = 60'000;

bool says(const SpanSampling& sampling, std::string_view what) {
  return sampling.problem().find(what) != std::string::npos;
}

TEST(SpanSampling, AMarkIsEnough) {
  SpanSampling sampling;
  sampling.add(kMinute, {.spans = 10}, {.spans = 100});
  EXPECT_EQ(sampling.problem(), "");
  sampling.add(kMinute, {.spans = 10}, {.spans = 100, .marked = 1});
  EXPECT_TRUE(says(sampling, "the spans of stable say that a sampler kept them"));
}

TEST(SpanSampling, AMetricThatCountsFarMoreTells) {
  SpanSampling sampling;
  const SamplingCounts all{.spans = 20, .metrics = 20};
  sampling.add(kMinute, {.spans = 4, .failed = 1, .metrics = 20}, all);
  EXPECT_EQ(sampling.problem(), "") << "too little to tell";
  for (int i = 0; i < 5; ++i) sampling.add(kMinute, {.spans = 4, .failed = 1, .metrics = 20}, all);
  EXPECT_TRUE(says(sampling, "a metric of the canary counts "));
  for (int i = 0; i < 60; ++i) sampling.add(kMinute, all, all);
  EXPECT_EQ(sampling.problem(), "") << "all are kept now";
}

// The metric is exported once a minute, the spans come all the time: what lies between two exports
// is compared.
TEST(SpanSampling, ExportsAtOtherMomentsAreNoSample) {
  SpanSampling sampling;
  for (int i = 1; i <= 120; ++i) {
    const SamplingCounts counts{.spans = 10, .failed = 1, .metrics = i % 6 == 0 ? 60.0 : 0};
    sampling.add(10'000, counts, counts);
    EXPECT_EQ(sampling.problem(), "") << i;
  }
  for (int i = 0; i < 600; ++i) sampling.add(10'000, {.spans = 10}, {.spans = 10});
  EXPECT_EQ(sampling.problem(), "") << "a metric that has ended says nothing";
}

TEST(SpanSampling, MostlyFailuresOnBothTracks) {
  SpanSampling sampling;
  sampling.add(kMinute, {.spans = 30, .failed = 20}, {.spans = 300, .failed = 40});
  EXPECT_EQ(sampling.problem(), "") << "a canary that fails";
  sampling.add(kMinute, {}, {.spans = 600, .failed = 600});
  EXPECT_TRUE(says(sampling, "most spans of both tracks are failures (66.7% on canary, 72.1% on "))
      << sampling.problem();
}

// Only failing traces and a tenth of the others are kept. Counters that say nothing of errors tell.
TEST(SpanSampling, OfAGridIsToldByItsCells) {
  for (const bool marked : {false, true}) {
    GridOptions with;
    with.origin_ms = kOrigin;
    CountGrid grid(with);
    for (const auto track : {Track::canary, Track::stable}) {
      const auto* name = track == Track::canary ? "c" : "s";
      auto spans = steady(track, name, -15, 5, 300, 2);
      spans.source = Source::spans;
      auto bad = steady(track, name, -15, 5, 300, 1);
      bad.id += 10;
      bad.source = Source::spans;
      bad.measure = marked ? Measure::tail_sampled : Measure::bad;
      auto counter = steady(track, name, -15, 15, 300, 10);
      counter.id += 20;
      counter.measure = Measure::witness;
      grid.add(spans);
      grid.add(bad);
      if (!marked) grid.add(counter);
    }
    const auto cells = grid.close(INT64_MAX);
    ASSERT_FALSE(cells.empty());
    EXPECT_EQ(cells.back().source, Source::spans);
    EXPECT_NE(cells.back().total.sampled().find(marked ? "say that a sampler" : "a metric of"),
              std::string::npos)
        << cells.back().total.sampled();
    EXPECT_GT(cells.back().total.stable.requests, 0);
  }
}

} // namespace
} // namespace coalmine::cohort
