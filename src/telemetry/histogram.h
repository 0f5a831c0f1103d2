// A histogram as one value: all buckets, the count and the sum of one series at one moment.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace coalmine {

// Upper-inclusive finite bounds, ascending: bucket i is (bounds[i-1], bounds[i]], the last bucket
// (bounds.back(), +Inf). Shared between all samples of a series.
using BucketBounds = std::shared_ptr<const std::vector<double>>;

// OTLP explicit-bounds histogram (metrics.proto HistogramDataPoint). counts are per bucket, not
// cumulative over buckets; counts.size() == bounds->size() + 1. Without buckets (only count and
// sum) bounds is empty and counts has one entry.
struct ClassicHistogram {
  BucketBounds bounds;
  std::vector<std::uint64_t> counts;
  std::uint64_t count = 0;
  double sum = 0;
};

// OTLP exponential histogram: base = 2^(2^-scale); positive bucket i covers (base^(offset+i),
// base^(offset+i+1)].
struct ExponentialHistogram {
  struct Buckets {
    std::int32_t offset = 0;
    std::vector<std::uint64_t> counts;
    bool operator==(const Buckets&) const = default;
  };
  std::int32_t scale = 0;
  double zero_threshold = 0;
  std::uint64_t zero_count = 0;
  Buckets positive;
  Buckets negative;
  std::uint64_t count = 0;
  double sum = 0;
};

// The q-quantile (0 <= q <= 1) of a classic histogram by linear interpolation inside the bucket, as
// PromQL's histogram_quantile does: the first bucket starts at 0 when its bound is positive; the
// last bucket answers its lower bound. NaN when empty.
double quantile(const ClassicHistogram& histogram, double q);

// a += b. Equal bounds are added bucket by bucket; otherwise each bucket of b goes into the first
// bucket of a whose upper bound is at least its own, so that no observation is counted as faster
// than it was.
void add(ClassicHistogram& a, const ClassicHistogram& b);

} // namespace coalmine
