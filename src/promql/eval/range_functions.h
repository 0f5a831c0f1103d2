// Functions from a range of one series to one value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "promql/eval/annotations.h"
#include "promql/eval/eval_types.h"

namespace coalmine::promql {

// One series' window at one step, and the other inputs of a function.
struct RangeWindow {
  // In (start_ms, end_ms]; for extended selectors also the lookback before it.
  std::span<const Sample> floats;
  std::span<const HistogramSample> histograms; // likewise
  std::int64_t start_ms = 0;                   // exclusive
  std::int64_t end_ms = 0;
  std::int64_t step_ms = 0; // the time of the step itself
  bool anchored = false;
  bool smoothed = false;
  bool use_start_times = false;
  std::span<const double> scalars; // the other arguments at this step
  const Labels* labels = nullptr;
  std::size_t pos = 0; // of the first argument, for annotations
  Annotations* notes = nullptr;
  std::string* error = nullptr; // set to fail the query

  std::string_view metric() const { return labels->metric_name(); }
  double range_seconds() const { return static_cast<double>(end_ms - start_ms) / 1000; }
};

// Returns false when there is no value at this step.
using RangeFunction = bool (*)(const RangeWindow& window, VectorPoint& out);

// Null when the function does not take a range.
RangeFunction find_range_function(std::string_view name);
RangeFunction find_rate_function(std::string_view name); // rate and its kin; used by the one above

// The points with after_ms < time <= to_ms.
template <typename T>
std::span<const T> window_of(std::span<const T> points, std::int64_t after_ms, std::int64_t to_ms) {
  const auto first = std::ranges::upper_bound(points, after_ms, {}, &T::time_ms);
  const auto last = std::ranges::upper_bound(first, points.end(), to_ms, {}, &T::time_ms);
  return {first, last};
}
inline std::span<const Sample> window_of(const std::vector<Sample>& points, std::int64_t after_ms,
                                         std::int64_t to_ms) {
  return window_of(std::span<const Sample>(points), after_ms, to_ms);
}
inline std::span<const HistogramSample> window_of(const std::vector<HistogramSample>& points,
                                                  std::int64_t after_ms, std::int64_t to_ms) {
  return window_of(std::span<const HistogramSample>(points), after_ms, to_ms);
}

// Finds windows that only move forward, so that each point is passed once.
template <typename T>
class SlidingWindow {
 public:
  explicit SlidingWindow(std::span<const T> points) : points_(points) {}
  std::span<const T> move_to(std::int64_t after_ms, std::int64_t to_ms) {
    while (last_ < points_.size() && points_[last_].time_ms <= to_ms) ++last_;
    while (first_ < last_ && points_[first_].time_ms <= after_ms) ++first_;
    return points_.subspan(first_, last_ - first_);
  }

 private:
  std::span<const T> points_;
  std::size_t first_ = 0; // of the window
  std::size_t last_ = 0;  // one behind it
};

// The points of an anchored or smoothed range, with one point exactly at each end. Empty when there
// is no point after the start.
std::vector<Sample> extended_floats(std::span<const Sample> floats, std::int64_t start_ms,
                                    std::int64_t end_ms, bool smoothed);
// What a series is taken for: a counter that fell was reset, a gauge may fall.
enum class SeriesKind { counter, gauge };

// The value at a time between two points. A counter that fell counts from zero.
double interpolate(const Sample& a, const Sample& b, std::int64_t time_ms, SeriesKind kind);

// Neumaier's variant of Kahan summation: sum + compensation is the total.
struct KahanSum {
  double sum = 0;
  double compensation = 0;
  void add(double value);
  double total() const { return sum + compensation; }
};

// Linear between neighbours at rank q * (n - 1); sorts values with NaN first.
double quantile_of(double q, std::vector<double>& values);

// True if the counter was reset between two samples, by their start times.
bool start_time_reset(const Sample& previous, const Sample& current);
bool start_time_reset(const HistogramSample& previous, const HistogramSample& current);

} // namespace coalmine::promql
