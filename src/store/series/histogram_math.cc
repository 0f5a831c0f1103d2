// SPDX-License-Identifier: Apache-2.0
#include "store/series/histogram_math.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coalmine::store {
namespace {

using Buckets = ExponentialHistogram::Buckets;

constexpr int kMinScale = -20; // one bucket covers more than a double can hold
constexpr int kMaxScale = 40;

bool any_less(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] < b[i]) return true;
  }
  return false;
}

void trim(Buckets& buckets) {
  auto& counts = buckets.counts;
  while (!counts.empty() && counts.back() == 0) counts.pop_back();
  const auto first = std::ranges::find_if(counts, [](auto n) { return n != 0; });
  buckets.offset += static_cast<std::int32_t>(first - counts.begin());
  counts.erase(counts.begin(), first);
  if (counts.empty()) buckets.offset = 0;
}

void downscale(Buckets& buckets, int steps) {
  if (steps <= 0 || buckets.counts.empty()) return;
  const int shift = std::min(steps, 31);
  const std::int64_t first = std::int64_t{buckets.offset} >> shift;
  Buckets out;
  out.offset = static_cast<std::int32_t>(first);
  for (std::size_t i = 0; i < buckets.counts.size(); ++i) {
    const auto at = static_cast<std::size_t>(
        ((std::int64_t{buckets.offset} + static_cast<std::int64_t>(i)) >> shift) - first);
    if (at >= out.counts.size()) out.counts.resize(at + 1);
    out.counts[at] += buckets.counts[i];
  }
  buckets = std::move(out);
}

// The number of buckets of the merged range, from the first to the last of both.
std::int64_t span_of(const Buckets& a, const Buckets& b) {
  if (a.counts.empty()) return static_cast<std::int64_t>(b.counts.size());
  if (b.counts.empty()) return static_cast<std::int64_t>(a.counts.size());
  const auto end = [](const Buckets& x) {
    return std::int64_t{x.offset} + static_cast<std::int64_t>(x.counts.size());
  };
  return std::max(end(a), end(b)) - std::min<std::int64_t>(a.offset, b.offset);
}

void add_buckets(Buckets& total, const Buckets& delta) {
  if (delta.counts.empty()) return;
  if (total.counts.empty()) {
    total = delta;
    return;
  }
  if (delta.offset < total.offset) {
    total.counts.insert(total.counts.begin(),
                        static_cast<std::size_t>(std::int64_t{total.offset} - delta.offset), 0);
    total.offset = delta.offset;
  }
  const auto shift = static_cast<std::size_t>(std::int64_t{delta.offset} - total.offset);
  if (total.counts.size() < shift + delta.counts.size())
    total.counts.resize(shift + delta.counts.size());
  for (std::size_t i = 0; i < delta.counts.size(); ++i) total.counts[shift + i] += delta.counts[i];
}

// now -= before; false when a bucket would fall below zero.
bool subtract_buckets(Buckets& now, const Buckets& before) {
  for (std::size_t i = 0; i < before.counts.size(); ++i) {
    if (before.counts[i] == 0) continue;
    const std::int64_t at = std::int64_t{before.offset} + static_cast<std::int64_t>(i) - now.offset;
    if (at < 0 || at >= static_cast<std::int64_t>(now.counts.size())) return false;
    auto& here = now.counts[static_cast<std::size_t>(at)];
    if (here < before.counts[i]) return false;
    here -= before.counts[i];
  }
  trim(now);
  return true;
}

} // namespace

const BucketBounds& fixed_bounds_ms() {
  static const BucketBounds bounds = std::make_shared<const std::vector<double>>(
      std::vector<double>{1,   2,   5,   10,  20,   30,   40,   50,   75,   100,  150,   200,
                          300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10000, 30000});
  return bounds;
}

bool same_bounds(const BucketBounds& a, const BucketBounds& b) {
  return a == b || (a && b && *a == *b);
}

Status normalise(ClassicHistogram& histogram) {
  if (!histogram.bounds) histogram.bounds = std::make_shared<const std::vector<double>>();
  if (histogram.bounds->empty() && histogram.counts.empty())
    histogram.counts.push_back(histogram.count);
  const auto& bounds = *histogram.bounds;
  if (histogram.counts.size() != bounds.size() + 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a histogram has {} bucket counts for {} bounds; there must be one "
                            "more count than bounds",
                            histogram.counts.size(), bounds.size()));
  }
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const bool last = i + 1 == bounds.size();
    const bool finite =
        std::isfinite(bounds[i]) || (last && bounds[i] > 0 && !std::isnan(bounds[i]));
    if (!finite || (i > 0 && !(bounds[i - 1] < bounds[i]))) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("histogram bound {} is {}; bounds must be finite and ascending", i,
                              bounds[i]));
    }
  }
  if (!bounds.empty() && std::isinf(bounds.back())) {
    auto finite = bounds;
    finite.pop_back();
    histogram.bounds = std::make_shared<const std::vector<double>>(std::move(finite));
    histogram.counts[histogram.counts.size() - 2] += histogram.counts.back();
    histogram.counts.pop_back();
  }
  return {};
}

Status normalise(ExponentialHistogram& histogram) {
  if (histogram.scale < kMinScale || histogram.scale > kMaxScale) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("an exponential histogram has scale {}; allowed is {} to {}",
                            histogram.scale, kMinScale, kMaxScale));
  }
  for (auto* buckets : {&histogram.positive, &histogram.negative}) {
    trim(*buckets);
    const std::int64_t end =
        std::int64_t{buckets->offset} + static_cast<std::int64_t>(buckets->counts.size());
    if (end > INT32_MAX) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("an exponential histogram has a bucket at {}; indexes are 32 bit", end));
    }
  }
  return {};
}

std::optional<ClassicHistogram> increase(const ClassicHistogram& before,
                                         const ClassicHistogram& now) {
  if (!same_bounds(before.bounds, now.bounds) || now.count < before.count ||
      before.counts.size() != now.counts.size() || any_less(now.counts, before.counts)) {
    return std::nullopt;
  }
  ClassicHistogram out = now;
  out.count -= before.count;
  out.sum -= before.sum;
  for (std::size_t i = 0; i < out.counts.size(); ++i) out.counts[i] -= before.counts[i];
  return out;
}

std::optional<ExponentialHistogram> increase(const ExponentialHistogram& before,
                                             const ExponentialHistogram& now) {
  if (now.count < before.count || now.zero_count < before.zero_count) return std::nullopt;
  const int scale = std::min(before.scale, now.scale);
  ExponentialHistogram base = before;
  downscale(base, before.scale - scale);
  ExponentialHistogram out = now;
  downscale(out, now.scale - scale);
  if (!subtract_buckets(out.positive, base.positive) ||
      !subtract_buckets(out.negative, base.negative))
    return std::nullopt;
  out.count -= before.count;
  out.zero_count -= before.zero_count;
  out.sum -= before.sum;
  return out;
}

void downscale(ExponentialHistogram& histogram, int steps) {
  if (steps <= 0) return;
  downscale(histogram.positive, steps);
  downscale(histogram.negative, steps);
  histogram.scale -= steps;
}

void merge(ExponentialHistogram& total, const ExponentialHistogram& delta) {
  ExponentialHistogram other = delta;
  const int scale = std::min(total.scale, other.scale);
  downscale(total, total.scale - scale);
  downscale(other, other.scale - scale);
  while (span_of(total.positive, other.positive) > kMaxBuckets ||
         span_of(total.negative, other.negative) > kMaxBuckets) {
    downscale(total, 1);
    downscale(other, 1);
  }
  add_buckets(total.positive, other.positive);
  add_buckets(total.negative, other.negative);
  total.zero_threshold = std::max(total.zero_threshold, other.zero_threshold);
  total.zero_count += other.zero_count;
  total.count += other.count;
  total.sum += other.sum;
}

BucketBounds scale_bounds(const BucketBounds& bounds, double factor) {
  if (factor == 1 || !bounds) return bounds;
  auto out = *bounds;
  for (auto& bound : out) {
    // 0.005 s is 5 ms, not 5.000000000000001: twelve digits are beyond any real bound.
    const double exact = bound * factor;
    const double rounded = std::round(exact * 1e6) / 1e6;
    bound = std::abs(exact - rounded) < std::abs(exact) * 1e-12 ? rounded : exact;
  }
  return std::make_shared<const std::vector<double>>(std::move(out));
}

ClassicHistogram scaled(const ClassicHistogram& histogram, double factor,
                        const BucketBounds& scaled_bounds) {
  ClassicHistogram out = histogram;
  out.bounds = scaled_bounds;
  out.sum *= factor;
  return out;
}

ClassicHistogram to_classic(const ExponentialHistogram& histogram, double factor,
                            const BucketBounds& target) {
  ClassicHistogram out;
  out.bounds = target;
  out.counts.assign(target->size() + 1, 0);
  out.count = histogram.count;
  out.sum = histogram.sum * factor;
  out.counts[0] += histogram.zero_count;
  out.counts[0] += std::reduce(histogram.negative.counts.begin(), histogram.negative.counts.end(),
                               std::uint64_t{0});
  for (std::size_t i = 0; i < histogram.positive.counts.size(); ++i) {
    if (histogram.positive.counts[i] == 0) continue;
    const double index =
        static_cast<double>(histogram.positive.offset) + static_cast<double>(i) + 1;
    const double upper = std::exp2(std::ldexp(index, -histogram.scale)) * factor;
    // Rounding in exp2 must not push a bound that is equal into the next bucket.
    const auto at = std::ranges::lower_bound(*target, upper * (1 - 1e-12)) - target->begin();
    out.counts[static_cast<std::size_t>(at)] += histogram.positive.counts[i];
  }
  return out;
}

} // namespace coalmine::store
