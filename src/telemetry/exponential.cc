// SPDX-License-Identifier: Apache-2.0
#include "telemetry/exponential.h"

#include <algorithm>
#include <cmath>

namespace coalmine {
namespace {

using Buckets = ExponentialHistogram::Buckets;

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

double upper_bound_of(std::int64_t index, int scale) {
  return std::exp2(std::ldexp(static_cast<double>(index + 1), -scale));
}

std::int64_t bucket_index(double value, int scale) {
  const auto exact = std::ldexp(std::log2(value), scale);
  auto index = static_cast<std::int64_t>(std::ceil(exact)) - 1;
  // The logarithm is rounded, so a value near a bound may have come out on its wrong side.
  if (value > upper_bound_of(index, scale)) ++index;
  if (value <= upper_bound_of(index - 1, scale)) --index;
  return index;
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

void downscale(ExponentialHistogram& histogram, int steps) {
  if (steps <= 0) return;
  downscale(histogram.positive, steps);
  downscale(histogram.negative, steps);
  histogram.scale -= steps;
}

void merge(ExponentialHistogram& total, const ExponentialHistogram& delta,
           std::int64_t max_buckets) {
  ExponentialHistogram other = delta;
  const int scale = std::min(total.scale, other.scale);
  downscale(total, total.scale - scale);
  downscale(other, other.scale - scale);
  while (span_of(total.positive, other.positive) > max_buckets ||
         span_of(total.negative, other.negative) > max_buckets) {
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

} // namespace coalmine
