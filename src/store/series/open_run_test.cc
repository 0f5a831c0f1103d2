// A packed run against a plain one, under random operations.
// SPDX-License-Identifier: Apache-2.0
#include "store/series/open_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "store/series/head_snapshot.h"

namespace coalmine::store {
namespace {

class Source {
 public:
  Source(unsigned seed, MetricKind kind) : random_(seed), kind_(kind) {
    for (const std::size_t size : {5u, 20u, 0u}) {
      std::vector<double> list;
      for (std::size_t i = 0; i < size; ++i) list.push_back(static_cast<double>(i) + 0.5);
      bounds_.push_back(std::make_shared<const std::vector<double>>(std::move(list)));
    }
    restart();
  }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  Sample next() {
    if (below(40) == 0) restart();
    time_ += below(8) == 0 ? static_cast<std::int64_t>(below(100'000)) : 15'000;
    std::int64_t time = time_;
    if (below(30) == 0)
      time -= static_cast<std::int64_t>(below(20)) * 15'000; // late, or a correction
    if (kind_ == MetricKind::exponential) return exponential(time);
    if (kind_ == MetricKind::histogram) return classic(time);
    return FloatSample{time, start_, number()};
  }

 private:
  void restart() {
    start_ = below(4) == 0 ? 0 : time_;
    bound_ = below(bounds_.size());
    counts_.assign(bounds_[bound_]->size() + 1, 0);
    value_ = 0;
    growing_ = {};
    growing_.scale = static_cast<int>(below(6));
  }

  double number() {
    switch (below(12)) {
      case 0: return std::bit_cast<double>(0x7ff0000000000002ULL);
      case 1: return std::numeric_limits<double>::quiet_NaN();
      case 2: return -0.0;
      case 3: return std::ldexp(1.0, 60) + 3;
      case 4: return -std::numeric_limits<double>::infinity();
      case 5: return static_cast<double>(below(1000)) / 7;
      case 6: return -static_cast<double>(below(1000));
      default: value_ += static_cast<double>(below(300)); return value_;
    }
  }

  Sample classic(std::int64_t time) {
    const std::uint64_t most = std::uint64_t{1} << (below(6) * 5);
    std::uint64_t total = 0;
    for (auto& n : counts_) {
      n += below(most);
      total += n;
    }
    if (below(50) == 0) total = UINT64_MAX - 5; // a count that the buckets do not explain
    ClassicSample out{time, start_, below(20) == 0, {bounds_[bound_], counts_, total, number()}};
    return out;
  }

  // Mostly the same buckets with more in them; now and then other ones.
  Sample exponential(std::int64_t time) {
    auto& h = growing_;
    if (below(12) == 0) h.zero_threshold = below(2) == 0 ? 0.5 : -0.0;
    if (below(10) == 0) h.positive.counts.resize(below(9));
    if (below(20) == 0) h.negative = {static_cast<std::int32_t>(below(5)), {below(3)}};
    if (below(15) == 0) h.positive.offset = static_cast<std::int32_t>(below(9)) - 4;
    for (auto& n : h.positive.counts) n += below(5);
    h.zero_count += below(3);
    h.count += below(20);
    h.sum = number();
    return ExponentialSample{time, start_, below(20) == 0, h};
  }

  std::mt19937_64 random_;
  MetricKind kind_;
  std::int64_t time_ = 1'700'000'000'000;
  std::int64_t start_ = 0;
  double value_ = 0;
  std::vector<BucketBounds> bounds_;
  std::size_t bound_ = 0;
  std::vector<std::uint64_t> counts_;
  ExponentialHistogram growing_;
};

void expect_same_points(const SampleRun& a, const SampleRun& b) {
  ASSERT_EQ(a.size(), b.size());
  const auto equal = [](const auto& x, const auto& y) {
    ASSERT_EQ(x.size(), y.size());
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_TRUE(same(x[i], y[i])) << "sample " << i;
  };
  equal(a.floats, b.floats);
  equal(a.classic, b.classic);
  equal(a.exponential, b.exponential);
}

OpenRun through_image(const OpenRun& run) {
  auto slice = decode_head_slice(encode_head_slice(7, {{SeriesId{3}, &run}, {SeriesId{4}, &run}}));
  EXPECT_TRUE(slice);
  if (!slice) return {};
  EXPECT_EQ(slice->record, 7u);
  EXPECT_EQ(slice->runs.size(), 2u);
  expect_same_points(slice->runs[0].second.slice(INT64_MIN, INT64_MAX),
                     run.slice(INT64_MIN, INT64_MAX));
  EXPECT_EQ(slice->runs[1].first, SeriesId{4});
  return std::move(slice->runs[1].second);
}

TEST(OpenRun, IsASampleRun) {
  for (const auto kind : {MetricKind::counter, MetricKind::histogram, MetricKind::exponential}) {
    for (unsigned seed = 1; seed <= 60; ++seed) {
      Source source(seed, kind);
      SampleRun plain;
      OpenRun packed;
      for (int i = 0; i < 150; ++i) {
        const Sample sample = source.next();
        ASSERT_EQ(packed.contains(sample), plain.contains(sample));
        ASSERT_EQ(packed.upsert(sample), plain.upsert(sample)) << "seed " << seed << " step " << i;
        ASSERT_TRUE(packed.contains(sample));
        ASSERT_EQ(packed.size(), plain.size());
        ASSERT_EQ(packed.first_ms(), plain.first_ms());
        ASSERT_EQ(packed.last_ms(), plain.last_ms());
        if (source.below(20) == 0) packed = through_image(packed);
        if (i % 10 != 0) continue;
        const std::int64_t span = plain.last_ms() - plain.first_ms() + 2;
        const std::int64_t from =
            plain.first_ms() - 1 +
            static_cast<std::int64_t>(source.below(static_cast<std::uint64_t>(span)));
        const std::int64_t to =
            from + static_cast<std::int64_t>(source.below(static_cast<std::uint64_t>(span)));
        expect_same_points(packed.slice(from, to), plain.slice(from, to));
        ASSERT_EQ(packed.count(from, to), plain.count(from, to));
        if (source.below(6) == 0) {
          packed.drop_before(from);
          plain.drop_before(from);
          if (plain.empty()) break;
        }
      }
      expect_same_points(packed.slice(INT64_MIN, INT64_MAX), plain);
      std::optional<Sample> newest;
      with_all(plain, [&](const auto& samples) {
        for (const auto& one : samples) {
          if (!is_stale(Sample(one))) newest = one;
        }
      });
      const auto found = packed.last_value();
      ASSERT_EQ(found.has_value(), newest.has_value());
      if (found) {
        EXPECT_EQ(time_of(*found), time_of(*newest));
      }
    }
  }
}

TEST(HeadSlice, DamageIsNoticed) {
  OpenRun run;
  const auto bounds = std::make_shared<const std::vector<double>>(std::vector<double>{1, 2});
  for (int i = 0; i < 40; ++i)
    run.upsert(ClassicSample{1000 + i, 1, false, {bounds, {1u, 2u, 3u}, 6, 0.5}});
  const auto bytes = encode_head_slice(1, {{SeriesId{1}, &run}});
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    EXPECT_FALSE(decode_head_slice(flipped));
    EXPECT_FALSE(decode_head_slice(std::string_view(bytes).substr(0, i)));
  }
}

TEST(OpenRun, ACounterCostsFewBytes) {
  OpenRun run;
  for (int i = 0; i < 120; ++i)
    run.upsert(FloatSample{1'700'000'000'000 + i * 15'000, 1'699'999'000'000, i * 131.0});
  EXPECT_LT(run.memory(), 120u * 8u);
}

// A series derived from spans has a sample for every second.
TEST(OpenRun, AnExponentialHistogramIsPacked) {
  OpenRun run;
  ExponentialHistogram h;
  h.positive.counts.resize(150);
  for (int i = 0; i < 120; ++i) {
    h.positive.counts[static_cast<std::size_t>(i)] += 3;
    h.count += 3;
    h.sum += 0.7;
    run.upsert(ExponentialSample{1'700'000'000'000 + i * 1000, 1'699'999'000'000, false, h});
  }
  EXPECT_LT(run.memory(), 120u * 150u) << "less than a byte for each bucket";
}

} // namespace
} // namespace coalmine::store
