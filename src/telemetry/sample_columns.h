// Samples of one series as columns of numbers, for query plans over whole histograms.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/stale.h"

namespace coalmine {

// Which numbers of a classic histogram a row holds. For other series a row is the value.
enum class HistogramPart : std::uint8_t {
  // One number for each bound and one for +Inf: observations at or below it. The last is the count.
  buckets,
  count,
  sum,
};

// One buffer, reused for one series after another. Staleness markers are left out. Not
// synchronised.
class SampleColumns {
 public:
  std::vector<std::int64_t> times; // ascending
  std::vector<double> values;      // of each time, width numbers
  std::size_t width = 1;
  BucketBounds bounds; // of buckets
  // Samples that lie between the rows and were left out, because no number falls there
  // (ColumnRequest::one_window).
  std::size_t hidden = 0;
  // False: the bounds change within the samples, or these are exponential histograms. The other
  // members are void then.
  bool uniform = true;

  void clear();
  // Appends a row at this time and returns where its numbers must be written at once.
  double* add(std::int64_t time_ms);
  void add(std::int64_t time_ms, double value) {
    if (is_stale(value)) return;
    times.push_back(time_ms);
    values.push_back(value);
  }
  // Called before buckets with these bounds are added.
  void set_bounds(const BucketBounds& next);
  // counts: per bucket, not cumulative.
  void add_buckets(std::int64_t time_ms, std::span<const std::uint64_t> counts,
                   std::uint64_t total);
  // Later samples of the same series.
  void append(const SampleColumns& later);
};

} // namespace coalmine
