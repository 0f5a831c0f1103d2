// SPDX-License-Identifier: Apache-2.0
#include "telemetry/durations.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coalmine {
namespace {

// Fine enough for another unit to move no bound by more than 0.04 %, and indexes stay small.
constexpr int kUnitScale = 10;

// The first and the last index of the range at a scale of at most kDurationScale. The last bucket
// is the one above the range.
std::int64_t first_index(int scale) {
  return static_cast<std::int64_t>(std::floor(std::ldexp(kShortestOctave, scale)));
}
std::int64_t last_index(int scale) {
  return static_cast<std::int64_t>(std::floor(std::ldexp(kLongestOctave, scale)));
}

void add_count(ExponentialHistogram::Buckets& buckets, std::int64_t index, std::uint64_t count) {
  auto& counts = buckets.counts;
  if (counts.empty()) buckets.offset = static_cast<std::int32_t>(index);
  if (index < buckets.offset) {
    counts.insert(counts.begin(), static_cast<std::size_t>(buckets.offset - index), 0);
    buckets.offset = static_cast<std::int32_t>(index);
  }
  const auto at = static_cast<std::size_t>(index - buckets.offset);
  if (at >= counts.size()) counts.resize(at + 1);
  counts[at] += count;
}

std::uint64_t total_of(const ExponentialHistogram::Buckets& buckets) {
  return std::accumulate(buckets.counts.begin(), buckets.counts.end(), std::uint64_t{0});
}

void add_within_range(ExponentialHistogram& out, std::int64_t index, std::uint64_t count) {
  if (index < first_index(out.scale)) {
    out.zero_count += count;
  } else {
    add_count(out.positive, std::min(index, last_index(out.scale)), count);
  }
}

} // namespace

ExponentialHistogram durations_in_seconds(const ExponentialHistogram& histogram,
                                          double seconds_per_unit) {
  ExponentialHistogram::Buckets from = histogram.positive;
  int scale = histogram.scale;
  if (scale > kUnitScale) {
    downscale(from, scale - kUnitScale);
    scale = kUnitScale;
  }
  const auto shift =
      static_cast<std::int64_t>(std::llround(std::ldexp(std::log2(seconds_per_unit), scale)));
  const int coarser = std::max(0, scale - kDurationScale);
  ExponentialHistogram out;
  out.scale = scale - coarser;
  out.zero_count = total_of(histogram.negative);
  for (std::size_t i = 0; i < from.counts.size(); ++i) {
    if (from.counts[i] == 0) continue;
    const auto index = std::int64_t{from.offset} + static_cast<std::int64_t>(i) + shift;
    add_within_range(out, index >> coarser, from.counts[i]);
  }
  if (histogram.zero_count > 0) {
    const double threshold = histogram.zero_threshold * seconds_per_unit;
    if (threshold > std::ldexp(1.0, kShortestOctave) && std::isfinite(threshold)) {
      add_within_range(out, bucket_index(threshold, out.scale), histogram.zero_count);
    } else {
      out.zero_count += histogram.zero_count;
    }
  }
  out.count = out.zero_count + total_of(out.positive);
  out.sum = histogram.sum * seconds_per_unit;
  return out;
}

void add_duration(ExponentialHistogram& durations, double seconds, std::uint64_t count) {
  if (count == 0) return;
  durations.scale = kDurationScale;
  if (seconds > 0 && std::isfinite(seconds)) {
    add_within_range(durations, bucket_index(seconds, kDurationScale), count);
  } else {
    durations.zero_count += count;
  }
  durations.count += count;
  durations.sum += seconds * static_cast<double>(count);
}

void merge_durations(ExponentialHistogram& total, const ExponentialHistogram& delta) {
  if (total.count == 0 && total.positive.counts.empty()) {
    const double sum = total.sum;
    total = delta;
    total.sum += sum;
    return;
  }
  merge(total, delta, INT64_MAX); // the range bounds the number of buckets
}

} // namespace coalmine
