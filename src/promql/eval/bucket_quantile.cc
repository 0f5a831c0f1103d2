// Quantiles and fractions of classic histograms.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "promql/eval/almost_equal.h"
#include "promql/eval/eval_histogram.h"

namespace coalmine::promql {
namespace {

constexpr double kSmallDelta = 1e-12; // differences below are artefacts of floating point

void sort_buckets(std::vector<ClassicBucket>& buckets) {
  std::ranges::sort(buckets, {}, &ClassicBucket::upper);
}

// Joins buckets of the same bound.
void coalesce(std::vector<ClassicBucket>& buckets) {
  std::size_t last = 0;
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    if (buckets[i].upper == buckets[last].upper) {
      buckets[last].count += buckets[i].count;
    } else {
      buckets[++last] = buckets[i];
    }
  }
  buckets.resize(last + 1);
}

// Raises counts so that cumulative counts do not fall from bucket to bucket.
void make_monotonic(std::vector<ClassicBucket>& buckets, Forced& forced) {
  forced.min_bucket = kInf;
  forced.max_bucket = -kInf;
  double previous = buckets[0].count;
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    ClassicBucket& bucket = buckets[i];
    if (bucket.count == previous) continue;
    if (almost_equal(previous, bucket.count, kSmallDelta)) {
      bucket.count = previous;
    } else if (bucket.count < previous) {
      forced.any = true;
      forced.min_bucket = std::min(forced.min_bucket, bucket.upper);
      forced.max_bucket = std::max(forced.max_bucket, bucket.upper);
      forced.max_diff = std::max(forced.max_diff, previous - bucket.count);
      bucket.count = previous;
    } else {
      previous = bucket.count;
    }
  }
}

} // namespace

bool almost_equal(double a, double b, double epsilon) {
  if (is_stale(a) || is_stale(b)) return is_stale(a) && is_stale(b);
  if (std::isnan(a) && std::isnan(b)) return true;
  if (a == b) return true;
  constexpr double kMinNormal = std::numeric_limits<double>::min();
  const double sum = std::abs(a) + std::abs(b);
  const double difference = std::abs(a - b);
  if (a == 0 || b == 0 || sum < kMinNormal) return difference < epsilon * kMinNormal;
  return difference / std::min(sum, std::numeric_limits<double>::max()) < epsilon;
}

double bucket_quantile(double q, std::vector<ClassicBucket>& buckets, Forced& forced) {
  if (std::isnan(q)) return kNaN;
  if (q < 0) return -kInf;
  if (q > 1) return kInf;
  sort_buckets(buckets);
  if (buckets.back().upper != kInf) return kNaN;
  coalesce(buckets);
  make_monotonic(buckets, forced);
  if (buckets.size() < 2) return kNaN;
  const double total = buckets.back().count;
  if (total == 0) return kNaN;
  double rank = q * total;
  const auto at = static_cast<std::size_t>(
      std::ranges::partition_point(buckets.begin(), buckets.end() - 1,
                                   [&](const ClassicBucket& b) { return !(b.count >= rank); }) -
      buckets.begin());
  if (at == buckets.size() - 1) return buckets[buckets.size() - 2].upper;
  if (at == 0 && buckets[0].upper <= 0) return buckets[0].upper;
  double start = 0;
  double count = buckets[at].count;
  if (at > 0) {
    start = buckets[at - 1].upper;
    count -= buckets[at - 1].count;
    rank -= buckets[at - 1].count;
  }
  return start + (buckets[at].upper - start) * (rank / count);
}

double bucket_fraction(double lower, double upper, std::vector<ClassicBucket>& buckets) {
  sort_buckets(buckets);
  if (buckets.back().upper != kInf) return kNaN;
  coalesce(buckets);
  const double total = buckets.back().count;
  if (total == 0 || std::isnan(lower) || std::isnan(upper)) return kNaN;
  if (lower >= upper) return 0;
  std::optional<double> lower_rank;
  std::optional<double> upper_rank;
  double rank = 0;
  double start = buckets[0].upper <= 0 ? -kInf : 0;
  for (const ClassicBucket& bucket : buckets) {
    const auto locate = [&](std::optional<double>& out, double v) {
      if (out) return;
      if (start >= v) {
        out = rank;
      } else if (bucket.upper > v) {
        out = start == -kInf ? bucket.count
                             : rank + (bucket.count - rank) * (v - start) / (bucket.upper - start);
      }
    };
    locate(lower_rank, lower);
    locate(upper_rank, upper);
    rank = bucket.count;
    start = bucket.upper;
  }
  // Written so that NaN stays NaN.
  const double from = !lower_rank || *lower_rank > total ? total : *lower_rank;
  const double to = !upper_rank || *upper_rank > total ? total : *upper_rank;
  return (to - from) / total;
}

} // namespace coalmine::promql
