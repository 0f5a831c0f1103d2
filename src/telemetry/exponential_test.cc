// Exponential histograms against the values they were made of.
// SPDX-License-Identifier: Apache-2.0
#include "telemetry/exponential.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "telemetry/durations.h"

namespace coalmine {
namespace {

ExponentialHistogram of(const std::vector<double>& values, int scale) {
  ExponentialHistogram out;
  out.scale = scale;
  for (const double value : values) {
    ExponentialHistogram one;
    one.scale = scale;
    one.positive = {static_cast<std::int32_t>(bucket_index(value, scale)), {1}};
    one.count = 1;
    one.sum = value;
    merge(out, one, INT64_MAX);
  }
  return out;
}

void expect_same(ExponentialHistogram a, ExponentialHistogram b) {
  trim(a.positive);
  trim(b.positive);
  EXPECT_EQ(a.scale, b.scale);
  EXPECT_EQ(a.zero_count, b.zero_count);
  EXPECT_EQ(a.positive, b.positive);
  EXPECT_EQ(a.count, b.count);
  EXPECT_NEAR(a.sum, b.sum, 1e-9 * (1 + std::abs(b.sum)));
}

std::vector<double> random_values(std::mt19937_64& random, std::size_t n) {
  std::lognormal_distribution<double> seconds(-2, 1.5);
  std::vector<double> out(n);
  for (auto& value : out) value = seconds(random);
  return out;
}

TEST(Exponential, ABoundBelongsToTheBucketBelowIt) {
  std::mt19937_64 random(1);
  for (const int scale : {-2, 0, 1, 5, 10, 20}) {
    for (const double value : random_values(random, 200)) {
      const auto index = bucket_index(value, scale);
      EXPECT_LT(upper_bound_of(index - 1, scale), value);
      EXPECT_GE(upper_bound_of(index, scale), value);
      EXPECT_EQ(bucket_index(upper_bound_of(index, scale), scale), index);
    }
  }
}

// The sum of histograms of different scales is the histogram of all their values.
TEST(Exponential, ScalesAddUpExactly) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    const auto values = random_values(random, 40);
    const int a = static_cast<int>(random() % 8), b = static_cast<int>(random() % 8);
    const std::vector<double> left(values.begin(), values.begin() + 25);
    const std::vector<double> right(values.begin() + 25, values.end());
    auto total = of(left, a);
    total.zero_count = 2;
    total.count += 2;
    const auto before = total;
    merge(total, of(right, b), INT64_MAX);
    auto expected = of(values, std::min(a, b));
    expected.zero_count = 2;
    expected.count += 2;
    expect_same(total, expected);
    const auto grown = increase(before, total);
    ASSERT_TRUE(grown);
    expect_same(*grown, of(right, std::min(a, b)));
  }
}

TEST(Durations, AreCountedWithinTwoPercent) {
  std::mt19937_64 random(3);
  ExponentialHistogram durations;
  for (const double value : random_values(random, 500)) add_duration(durations, value);
  EXPECT_EQ(durations.count, 500u);
  EXPECT_EQ(durations.scale, kDurationScale);
  EXPECT_LT(upper_bound_of(0, kDurationScale), 1.022);
}

// However long some take, the scale stays and the size is bounded: an outlier must not take the
// resolution of all others.
TEST(Durations, OutliersCostNoResolution) {
  ExponentialHistogram durations;
  for (const double seconds : {0.0, -1.0, 1e-9, 1e-5, 0.01, 0.2, 511.0, 513.0, 1e6, 1e300})
    add_duration(durations, seconds);
  EXPECT_EQ(durations.scale, kDurationScale);
  EXPECT_EQ(durations.count, 10u);
  EXPECT_EQ(durations.zero_count, 4u) << "up to 15 us";
  EXPECT_LE(durations.positive.counts.size(), 801u);
  EXPECT_EQ(durations.positive.counts.back(), 3u) << "beyond 512 s";

  ExponentialHistogram far;
  far.scale = 20;
  far.positive = {-(1 << 28), {7}};
  far.count = 7;
  merge_durations(durations, durations_in_seconds(far, 1));
  far.positive.offset = 1 << 28;
  merge_durations(durations, durations_in_seconds(far, 1));
  EXPECT_EQ(durations.scale, kDurationScale);
  EXPECT_EQ(durations.count, 24u);
  EXPECT_EQ(durations.zero_count, 11u);
}

TEST(Durations, SecondsKeepTheirBoundsAndOtherUnitsNearlySo) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 100; ++round) {
    const auto values = random_values(random, 30);
    const int scale = static_cast<int>(random() % 10);
    auto expected = of(values, std::min(scale, kDurationScale));
    expect_same(durations_in_seconds(of(values, scale), 1), expected);

    // The same in milliseconds: a bucket is at most one off, however coarse.
    auto in_ms = values;
    for (auto& value : in_ms) value *= 1000;
    const auto moved = durations_in_seconds(of(in_ms, scale), 1e-3);
    EXPECT_EQ(moved.scale, expected.scale);
    EXPECT_EQ(moved.count, expected.count);
    EXPECT_NEAR(moved.sum, expected.sum, 1e-9 * expected.sum);
    const auto places = [](const ExponentialHistogram& h) { // their sum
      double sum = 0;
      for (std::size_t i = 0; i < h.positive.counts.size(); ++i)
        sum += static_cast<double>(h.positive.counts[i]) *
               static_cast<double>(h.positive.offset + static_cast<std::int32_t>(i));
      return sum;
    };
    const double drift = places(moved) - places(expected);
    EXPECT_LE(std::abs(drift), static_cast<double>(values.size()));
  }
}

TEST(Durations, ZeroBucketAndNegativesAreNotLost) {
  ExponentialHistogram h;
  h.scale = 3;
  h.positive = {0, {5}};
  h.negative = {0, {2}};
  h.zero_count = 4;
  h.count = 11;
  const auto narrow = durations_in_seconds(h, 1);
  EXPECT_EQ(narrow.zero_count, 6u);
  EXPECT_EQ(narrow.count, 11u);
  h.zero_threshold = 0.25; // up to 250 ms: not counted as faster than it was
  const auto wide = durations_in_seconds(h, 1);
  EXPECT_EQ(wide.zero_count, 2u);
  EXPECT_EQ(wide.count, 11u);
  EXPECT_EQ(wide.positive.counts.front(), 4u);
  EXPECT_EQ(upper_bound_of(wide.positive.offset, 3), 0.25);
}

} // namespace
} // namespace coalmine
