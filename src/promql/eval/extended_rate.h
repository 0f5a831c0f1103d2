// rate, increase and delta of anchored and smoothed ranges: computed between the exact ends of the
// range, without extrapolation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "promql/eval/range_functions.h"

namespace coalmine::promql {

// rate is {counter, per_second}, increase {counter}, delta {gauge}.
struct RateKind {
  SeriesKind series = SeriesKind::counter;
  bool per_second = false;
};

bool extended_float_rate(const RangeWindow& window, VectorPoint& out, RateKind kind);
bool extended_histogram_rate(const RangeWindow& window, VectorPoint& out, RateKind kind);

// The histogram at a time between two; nullopt when their buckets do not fit together. A counter
// that fell counts from zero.
std::optional<NativeHistogram> interpolate(const HistogramSample& a, const HistogramSample& b,
                                           std::int64_t time_ms, SeriesKind kind,
                                           Annotations& notes, std::size_t pos);

} // namespace coalmine::promql
