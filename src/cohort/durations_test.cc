// SPDX-License-Identifier: Apache-2.0
#include "cohort/durations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "telemetry/durations.h"

namespace coalmine::cohort {
namespace {

using Bounds = std::vector<double>;
using Counts = std::vector<double>;

BucketBounds bounds(Bounds list) { return std::make_shared<const Bounds>(std::move(list)); }

DurationCounts explicit_counts(Bounds list, const Counts& counts) {
  DurationCounts out;
  out.add(bounds(std::move(list)), counts, 0);
  return out;
}

// Durations in milliseconds, in exponential buckets of this scale.
DurationCounts exponential(const std::vector<double>& durations_ms, int scale) {
  DurationCounts out;
  for (const double ms : durations_ms) {
    const auto index = static_cast<std::int32_t>(bucket_index(ms / 1000, scale));
    out.add(ExponentialShape{scale, index}, Counts{0, 1}, ms);
  }
  return out;
}

DurationCounts explicit_of(const std::vector<double>& durations_ms, const Bounds& list) {
  Counts counts(list.size() + 1);
  for (const double ms : durations_ms)
    ++counts[static_cast<std::size_t>(std::ranges::lower_bound(list, ms) - list.begin())];
  return explicit_counts(list, counts);
}

RouteCounts row(const DurationCounts& canary, const DurationCounts& stable) {
  RouteCounts out;
  put_row(canary, stable, out);
  return out;
}

double above(const TrackCounts& track, double boundary) {
  const auto& list = *track.bounds_ms;
  double out = 0;
  for (std::size_t i = 0; i < track.bucket_counts.size(); ++i) {
    if (i == list.size() || list[i] > boundary) out += track.bucket_counts[i];
  }
  return out;
}

std::vector<double> random_durations(std::mt19937_64& random, std::size_t n) {
  std::lognormal_distribution<double> ms(5, 1);
  std::vector<double> out(n);
  for (auto& one : out) one = ms(random);
  return out;
}

TEST(Durations, BoundsThatAllHaveAreCompared) {
  auto stable = explicit_counts({10, 50, 100}, {1, 2, 3, 4});
  stable.add(bounds({10, 100, 250}), Counts{1, 1, 1, 1}, 5); // an instance with other bounds
  const auto got = row(explicit_counts({5, 10, 100}, {1, 2, 3, 4}), stable);
  ASSERT_NE(got.shared_bounds(), nullptr);
  EXPECT_EQ(*got.shared_bounds(), (Bounds{10, 100}));
  EXPECT_EQ(got.stable.bucket_counts, (Counts{2, 6, 6}));
  EXPECT_EQ(got.canary.bucket_counts, (Counts{3, 3, 4}));
  EXPECT_EQ(got.stable.timed, 14);
  EXPECT_EQ(got.bounds_note(), "");
  // Bounds that differ by rounding are the same.
  const auto rounded = row(explicit_counts({35}, {1, 2}), explicit_counts({0.035 * 1000}, {1, 2}));
  ASSERT_NE(rounded.shared_bounds(), nullptr);
}

TEST(Durations, WithoutACommonBoundTheReasonIsSaid) {
  const auto apart = row(explicit_counts({7, 70}, {1, 2, 3}),
                         explicit_counts({5, 10, 25, 50, 75, 100, 250}, Counts(8, 1)));
  EXPECT_EQ(apart.shared_bounds(), nullptr);
  EXPECT_TRUE(apart.stable.bucket_counts.empty());
  EXPECT_EQ(apart.bounds_note(),
            "stable has histograms with the bounds 5, 10, 25 … 75, 100, 250 ms, the canary with "
            "the bounds 7, 70 ms: no boundary is in all of them, so latency cannot be compared; "
            "give them the same bounds");

  auto own = explicit_counts({7, 70}, {1, 2, 3});
  own.add(bounds({6, 60}), Counts{1, 1, 1}, 0);
  TrackCounts alone;
  put_track(own, alone);
  EXPECT_EQ(alone.bounds_ms, nullptr);
  EXPECT_EQ(alone.bounds_note,
            "its instances have histograms with the bounds 7, 70 ms and the bounds 6, 60 ms: no "
            "boundary is in all of them, so how long its requests took is not known; give them "
            "the same bounds");
  EXPECT_NE(row(own, {}).bounds_note(), "") << "also before stable has durations";
  EXPECT_EQ(row({}, {}).bounds_note(), "");
}

TEST(Durations, JudgedBoundsDependOnTheScaleAlone) {
  const auto& finest = *judged_bounds_ms(kDurationScale);
  EXPECT_EQ(finest.size(), 465u);
  for (int scale = -20; scale <= kDurationScale; ++scale) {
    const auto& list = *judged_bounds_ms(scale);
    EXPECT_TRUE(std::ranges::is_sorted(list));
    EXPECT_TRUE(std::ranges::includes(finest, list)) << "a coarser scale only leaves some out";
    EXPECT_TRUE(std::ranges::find(list, 1000) != list.end());
  }
  for (std::size_t i = 1; i < finest.size(); ++i) {
    const bool fine = finest[i - 1] >= 2 && finest[i] <= 4000;
    EXPECT_LT(finest[i] / finest[i - 1], fine ? 1.0220 : 1.0906);
  }
}

// Every boundary counts the same, whatever scale the parts have.
TEST(Durations, ScalesAreComparedExactly) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    const auto canary = random_durations(random, 300);
    const auto stable = random_durations(random, 300);
    const int a = static_cast<int>(random() % 6), b = static_cast<int>(random() % 6);
    auto parts = exponential({stable.begin(), stable.begin() + 100}, a);
    parts.add(exponential({stable.begin() + 100, stable.end()}, b));
    const auto got = row(exponential(canary, a), parts);
    ASSERT_EQ(got.shared_bounds(), judged_bounds_ms(std::min(a, b)).get());
    EXPECT_EQ(got.bounds_note(), "");
    EXPECT_EQ(got.canary.timed, 300);
    for (const double bound : *got.shared_bounds()) {
      const auto exact = [&](const std::vector<double>& all) {
        return static_cast<double>(
            std::ranges::count_if(all, [&](double ms) { return ms > bound; }));
      };
      ASSERT_EQ(above(got.canary, bound), exact(canary));
      ASSERT_EQ(above(got.stable, bound), exact(stable));
    }
  }
}

// An exponential and an explicit histogram of the same durations: the canary never looks slower
// than it was, and by no more than a bucket faster.
TEST(Durations, ExponentialAgainstExplicitFavoursTheCanaryByOneBucketAtMost) {
  std::mt19937_64 random(6);
  const Bounds otel = {0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000};
  for (int round = 0; round < 60; ++round) {
    const auto all = random_durations(random, 400);
    const int scale = 3 + static_cast<int>(random() % 3);
    const double width = std::exp2(std::ldexp(1.0, -scale));
    const auto share = [&](double ms) {
      return static_cast<double>(std::ranges::count_if(all, [&](double one) { return one > ms; }));
    };
    for (const bool canary_is_exponential : {true, false}) {
      const auto one = exponential(all, scale);
      const auto other = explicit_of(all, otel);
      const auto got = canary_is_exponential ? row(one, other) : row(other, one);
      ASSERT_NE(got.shared_bounds(), nullptr);
      EXPECT_EQ(got.shared_bounds()->size(), otel.size() - 1) << "all but 0";
      EXPECT_NE(got.bounds_note().find("in the canary's favour"), std::string::npos);
      for (const double bound : *got.shared_bounds()) {
        const double canary = above(got.canary, bound), stable = above(got.stable, bound);
        ASSERT_LE(canary, stable);
        ASSERT_GE(canary, share(bound * width));
        ASSERT_LE(stable, share(bound / width));
      }
    }
  }
}

TEST(Durations, CoarseBucketsAreComparedOnlyAtTheirOwnBounds) {
  const std::vector<double> all = {100, 300, 900};
  const auto at_powers = row(exponential(all, 1), explicit_of(all, {100, 250, 500, 750}));
  ASSERT_NE(at_powers.shared_bounds(), nullptr);
  EXPECT_EQ(*at_powers.shared_bounds(), (Bounds{250, 500}));
  EXPECT_EQ(at_powers.bounds_note(), "");
  const auto none = row(exponential(all, 1), explicit_of(all, {100, 300}));
  EXPECT_EQ(none.shared_bounds(), nullptr);
  EXPECT_NE(none.bounds_note().find("exponential buckets of scale 1"), std::string::npos)
      << none.bounds_note();
}

TEST(Durations, ARowOverAWindowIsBroughtTogether) {
  RouteCounts over;
  put_track(explicit_counts({5, 10, 100}, {1, 2, 3, 4}), over.canary);
  put_track(explicit_counts({10, 100}, {5, 6, 7}), over.stable);
  share_bounds(over);
  ASSERT_NE(over.shared_bounds(), nullptr);
  EXPECT_EQ(over.canary.bucket_counts, (Counts{3, 3, 4}));
  EXPECT_EQ(over.stable.bucket_counts, (Counts{5, 6, 7}));
  put_track(explicit_counts({7}, {5, 6}), over.stable);
  share_bounds(over);
  EXPECT_EQ(over.shared_bounds(), nullptr);
  EXPECT_NE(over.bounds_note(), "");
}

} // namespace
} // namespace coalmine::cohort
