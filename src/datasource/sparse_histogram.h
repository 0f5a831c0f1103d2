// Histograms that name only the buckets they have filled: native histograms as Prometheus's API
// gives them, and VictoriaMetrics's vmrange buckets. Pure values; for untrusted input.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "promql/queryable.h"
#include "telemetry/histogram.h"
#include "telemetry/sample.h"

namespace coalmine::datasource {

// Cumulative over time. A bucket is known by its upper bound; an empty one is missing.
struct SparseHistogram {
  std::map<double, double> buckets; // number of observations by upper bound; +Inf may be there
  double count = 0;                 // sum of the buckets
  double sum = 0;
};

SparseHistogram sparse_of(const promql::NativeHistogram& histogram);
// The upper bound of "1.136e-01...1.292e-01"; nullopt: not a range.
std::optional<double> upper_of_vmrange(std::string_view range);

// Sums up what a sparse histogram grows by, on bounds that never change: sixteen to each doubling.
// Which buckets are filled and how fine they are changes while a process runs (its resolution falls
// as its range grows), so bounds taken from the buckets would make every such change look like a
// restart. No observation is counted as faster than it was.
class SparseTotal {
 public:
  // to_ms: the factor from the histogram's unit to milliseconds.
  explicit SparseTotal(double to_ms) : to_ms_(to_ms) {}
  // The total up to this sample, or nullopt when it is not newer than the one before. Samples
  // ascend. A count that falls is a restart: the total begins anew.
  std::optional<ClassicSample> add(std::int64_t time_ms, std::int64_t start_ms,
                                   const SparseHistogram& now);
  std::int64_t last_ms() const { return last_ms_; }

 private:
  void take(double upper, double count);

  double to_ms_;
  std::int64_t last_ms_ = INT64_MIN;
  SparseHistogram before_;
  std::map<std::size_t, double> total_; // by place in the bounds
  double sum_ms_ = 0;
};

} // namespace coalmine::datasource
