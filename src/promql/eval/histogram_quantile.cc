// Quantiles, fractions and trimming of native histograms.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "promql/eval/eval_types.h"
#include "promql/eval/histogram_math.h"

namespace coalmine::promql {
namespace {

// If all other buckets have one sign, the zero bucket ends at zero on the other side.
void one_sided(HistogramBucket& b, const NativeHistogram& h) {
  if (h.negative.counts.empty() && !h.positive.counts.empty()) b.lower = 0;
  if (h.positive.counts.empty() && !h.negative.counts.empty()) b.upper = 0;
}

double inside_bucket(const HistogramBucket& b, double fraction, bool linear) {
  if (linear || (b.lower <= 0 && b.upper >= 0)) return b.lower + (b.upper - b.lower) * fraction;
  // On a logarithmic scale all buckets of a schema are equally wide.
  const double lower = std::log2(std::abs(b.lower));
  const double upper = std::log2(std::abs(b.upper));
  if (b.lower > 0) return std::exp2(lower + (upper - lower) * fraction);
  return -std::exp2(upper + (lower - upper) * (1 - fraction));
}

} // namespace

double HistogramBucket::fraction_below(double v, bool linear) const {
  if (linear) return (v - lower) / (upper - lower);
  const double log_lower = std::log2(std::abs(lower));
  const double log_upper = std::log2(std::abs(upper));
  const double log_v = std::log2(std::abs(v));
  if (v > 0) return (log_v - log_lower) / (log_upper - log_lower);
  return 1 - (log_v - log_upper) / (log_lower - log_upper);
}

double histogram_quantile(double q, const NativeHistogram& h, NanNote& note) {
  note = NanNote::none;
  if (q < 0) return -kInf;
  if (q > 1) return kInf;
  if (h.count == 0 || std::isnan(q)) return kNaN;
  const bool custom = uses_custom_buckets(h);
  const bool forward = std::isnan(h.sum) || q < 0.5;
  std::vector<HistogramBucket> all = buckets_of(h);
  if (!forward) std::ranges::reverse(all);
  double rank = (forward ? q : 1 - q) * h.count;
  double count = 0;
  HistogramBucket bucket;
  std::size_t next = 0;
  while (next < all.size()) {
    bucket = all[next++];
    if (bucket.count == 0) continue;
    count += bucket.count;
    if (count >= rank) break;
  }
  if (!custom && bucket.lower < 0 && bucket.upper > 0) {
    one_sided(bucket, h);
  } else if (custom) {
    if (bucket.lower == -kInf) {
      if (bucket.upper <= 0) return bucket.upper;
      bucket.lower = 0;
    } else if (bucket.upper == kInf) {
      return bucket.lower;
    }
  }
  count = std::min(count, h.count);
  if (count < rank) {
    if (!std::isnan(h.sum)) return bucket.upper;
    note = NanNote::result_nan;
    return kNaN;
  }
  rank = forward ? rank - (count - bucket.count) : count - rank;
  if (std::isnan(h.sum)) {
    for (; next < all.size(); ++next) count += all[next].count;
    if (count < h.count) note = NanNote::skewed;
  }
  return inside_bucket(bucket, rank / bucket.count, custom);
}

double histogram_fraction(double lower, double upper, const NativeHistogram& h, NanNote& note) {
  note = NanNote::none;
  if (h.count == 0 || std::isnan(lower) || std::isnan(upper)) return kNaN;
  if (lower >= upper) return 0;
  const bool custom = uses_custom_buckets(h);
  double rank = 0;
  double total = 0;
  std::optional<double> lower_rank;
  std::optional<double> upper_rank;
  for (HistogramBucket& b : [&] { return buckets_of(h); }()) {
    total += b.count;
    if (lower_rank && upper_rank) continue;
    const bool around_zero = b.lower <= 0 && b.upper >= 0;
    if (around_zero) one_sided(b, h);
    const auto locate = [&](std::optional<double>& out, double v) {
      if (out) return;
      if (b.lower >= v) {
        out = rank;
      } else if (b.upper > v) {
        const bool linear = custom || around_zero;
        out = linear && b.lower == -kInf ? b.count : rank + b.count * b.fraction_below(v, linear);
      }
    };
    locate(lower_rank, lower);
    locate(upper_rank, upper);
    rank += b.count;
  }
  if (!std::isnan(h.sum)) {
    total = h.count;
  } else if (total < h.count) {
    note = NanNote::excluded;
  }
  const double from = lower_rank && *lower_rank <= total ? *lower_rank : total;
  const double to = upper_rank && *upper_rank <= total ? *upper_rank : total;
  return (to - from) / h.count;
}

namespace {

double without_infinity(double v) { return std::isinf(v) ? 0 : v; }

enum class Sign { positive, negative };

double midpoint(double lower, double upper, Sign sign, bool linear) {
  if (std::isinf(lower)) {
    if (std::isinf(upper)) return 0;
    return upper > 0 ? upper / 2 : upper;
  }
  if (std::isinf(upper)) return lower;
  if (linear) return (lower + upper) / 2;
  const double geometric = std::sqrt(std::abs(lower * upper));
  return sign == Sign::positive ? geometric : -geometric;
}

struct Kept {
  double count = 0;
  double mid = 0; // where the kept observations are taken to lie
};

// A bucket with an infinite bound: the places of the observations in it are unknown.
Kept keep_of_endless(const HistogramBucket& b, double at, Keep keep) {
  const bool below = keep == Keep::below;
  if (b.lower == -kInf) {
    if (below) {
      if (at >= b.upper) return {b.count, 0};
      if (at > 0 && b.upper > 0 && b.upper != kInf) return {b.count * at / b.upper, at / 2};
      if (b.upper <= 0) return {b.count, at};
      return {0, without_infinity(b.upper)};
    }
    if (at <= b.lower) return {b.count, 0};
    if (at >= 0 && b.upper > at && b.upper != kInf)
      return {b.count * (1 - at / b.upper), (at + b.upper) / 2};
    return {0, without_infinity(b.upper)};
  }
  if (below) return {0, without_infinity(b.lower)};
  return at >= b.lower ? Kept{b.count, at} : Kept{0, without_infinity(b.lower)};
}

Kept keep_of_bucket(const HistogramBucket& b, double at, Keep keep, Sign sign, bool linear) {
  const bool below = keep == Keep::below;
  const bool all = below ? b.upper <= at : b.lower >= at;
  if (all) return {b.count, midpoint(b.lower, b.upper, sign, linear)};
  const bool none = below ? b.lower >= at : b.upper <= at;
  if (none || std::isnan(at)) return {};
  if (std::isinf(b.lower) || std::isinf(b.upper)) return keep_of_endless(b, at, keep);
  const double under = b.count * b.fraction_below(at, linear);
  return below ? Kept{under, midpoint(b.lower, at, sign, linear)}
               : Kept{b.count - under, midpoint(at, b.upper, sign, linear)};
}

Kept keep_of_zero(const NativeHistogram& h, double at, Keep keep, bool has_negative,
                  bool has_positive) {
  const bool below = keep == Keep::below;
  const double lower = has_positive && !has_negative ? 0 : -h.zero_threshold;
  const double upper = has_negative && !has_positive ? 0 : h.zero_threshold;
  const Kept all{h.zero_count, (lower + upper) / 2};
  if (at <= lower) return below ? Kept{} : all;
  if (at >= upper) return below ? all : Kept{};
  if (below) return {h.zero_count * (at - lower) / (upper - lower), (lower + at) / 2};
  return {h.zero_count * (upper - at) / (upper - lower), (at + upper) / 2};
}

} // namespace

NativeHistogram trimmed(const NativeHistogram& h, double at, Keep keep) {
  NativeHistogram out = h;
  double count = 0;
  double sum = 0;
  bool changed = false;
  const auto take = [&](double& bucket, const Kept& kept) {
    count += kept.count;
    sum += kept.mid * kept.count;
    changed = changed || bucket != kept.count;
    bucket = kept.count;
  };
  const bool custom = uses_custom_buckets(h);
  NativeHistogram sided = h; // buckets of one sign at a time
  sided.zero_count = 0;
  const auto side = [&](NativeHistogram::Buckets& buckets, Sign sign) {
    const bool positive = sign == Sign::positive;
    sided.positive = positive ? buckets : NativeHistogram::Buckets{};
    sided.negative = positive ? NativeHistogram::Buckets{} : buckets;
    const std::vector<HistogramBucket> all = buckets_of(sided);
    bool populated = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      double& bucket = buckets.counts[positive ? i : all.size() - 1 - i];
      if (bucket == 0) continue;
      populated = true;
      take(bucket, keep_of_bucket(all[i], at, keep, sign, custom));
    }
    return populated;
  };
  const bool has_positive = side(out.positive, Sign::positive);
  const bool has_negative = side(out.negative, Sign::negative);
  if (h.zero_count > 0) take(out.zero_count, keep_of_zero(h, at, keep, has_negative, has_positive));
  if (!changed) return h;
  out.count = count;
  out.sum = sum;
  compact(out);
  return out;
}

} // namespace coalmine::promql
