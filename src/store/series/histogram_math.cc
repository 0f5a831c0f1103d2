// SPDX-License-Identifier: Apache-2.0
#include "store/series/histogram_math.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coalmine::store {
namespace {

constexpr int kMinScale = -20; // one bucket covers more than a double can hold
constexpr int kMaxScale = 40;

bool any_less(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] < b[i]) return true;
  }
  return false;
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
