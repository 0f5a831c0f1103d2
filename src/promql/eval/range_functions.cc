// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/range_functions.h"

#include <array>
#include <cmath>
#include <utility>

#include "promql/eval/histogram_math.h"

namespace coalmine::promql {
namespace {

// Notes that the histograms of a mixed range were ignored.
void note_ignored(const RangeWindow& w) {
  if (!w.histograms.empty()) w.notes->info(histograms_ignored_in_range(w.metric()), w.pos);
}

enum class Wanted { value, time };

template <typename Better>
bool extreme(const RangeWindow& w, VectorPoint& out, Wanted wanted, Better better) {
  if (w.floats.empty()) return false;
  note_ignored(w);
  const Sample* best = &w.floats.front();
  for (const Sample& sample : w.floats) {
    if (better(sample.value, best->value) || std::isnan(best->value)) best = &sample;
  }
  out.value = wanted == Wanted::time ? static_cast<double>(best->time_ms) / 1000 : best->value;
  return true;
}

bool max_over_time(const RangeWindow& w, VectorPoint& out) {
  return extreme(w, out, Wanted::value, [](double a, double b) { return a > b; });
}
bool min_over_time(const RangeWindow& w, VectorPoint& out) {
  return extreme(w, out, Wanted::value, [](double a, double b) { return a < b; });
}
bool ts_of_max_over_time(const RangeWindow& w, VectorPoint& out) {
  return extreme(w, out, Wanted::time, [](double a, double b) { return a >= b; });
}
bool ts_of_min_over_time(const RangeWindow& w, VectorPoint& out) {
  return extreme(w, out, Wanted::time, [](double a, double b) { return a <= b; });
}

bool count_over_time(const RangeWindow& w, VectorPoint& out) {
  out.value = static_cast<double>(w.floats.size() + w.histograms.size());
  return true;
}

bool present_over_time(const RangeWindow&, VectorPoint& out) {
  out.value = 1;
  return true;
}

bool first_over_time(const RangeWindow& w, VectorPoint& out) {
  if (w.histograms.empty() ||
      (!w.floats.empty() && w.floats.front().time_ms < w.histograms.front().time_ms)) {
    out.value = w.floats.front().value;
  } else {
    out.histogram = w.histograms.front().value;
  }
  return true;
}

bool last_over_time(const RangeWindow& w, VectorPoint& out) {
  if (w.histograms.empty() ||
      (!w.floats.empty() && w.histograms.back().time_ms < w.floats.back().time_ms)) {
    out.value = w.floats.back().value;
  } else {
    out.histogram = w.histograms.back().value;
  }
  return true;
}

bool ts_of_first_over_time(const RangeWindow& w, VectorPoint& out) {
  std::int64_t first = INT64_MAX;
  if (!w.floats.empty()) first = w.floats.front().time_ms;
  if (!w.histograms.empty()) first = std::min(first, w.histograms.front().time_ms);
  out.value = static_cast<double>(first) / 1000;
  return true;
}

bool ts_of_last_over_time(const RangeWindow& w, VectorPoint& out) {
  std::int64_t last = 0;
  if (!w.floats.empty()) last = w.floats.back().time_ms;
  if (!w.histograms.empty()) last = std::max(last, w.histograms.back().time_ms);
  out.value = static_cast<double>(last) / 1000;
  return true;
}

// Sum or mean of a range of histograms.
bool histogram_aggregate(const RangeWindow& w, VectorPoint& out, HistogramSum::Result result) {
  HistogramSum sum(result);
  for (const HistogramSample& sample : w.histograms) {
    if (!sum.add(*sample.value)) {
      w.notes->warn(mixed_bucket_schemas(w.metric()), w.pos);
      return false;
    }
  }
  if (sum.reset_conflict())
    w.notes->warn("conflicting counter resets during histogram aggregation", w.pos);
  if (sum.reconciled())
    w.notes->info("mismatched custom buckets were reconciled during aggregation", w.pos);
  out.histogram = std::make_shared<const NativeHistogram>(sum.result());
  return true;
}

bool sum_over_time(const RangeWindow& w, VectorPoint& out) {
  if (!w.floats.empty() && !w.histograms.empty()) {
    w.notes->warn(mixed_floats_histograms(w.metric()), w.pos);
    return false;
  }
  if (w.floats.empty()) return histogram_aggregate(w, out, HistogramSum::Result::sum);
  KahanSum sum;
  for (const Sample& sample : w.floats) sum.add(sample.value);
  out.value = std::isinf(sum.sum) ? sum.sum : sum.total();
  return true;
}

double mean_of(std::span<const Sample> floats) {
  KahanSum sum{floats.front().value, 0};
  KahanSum mean;
  bool incremental = false; // once the plain sum would overflow
  double count = 1;
  for (const Sample& sample : floats.subspan(1)) {
    count += 1;
    if (!incremental) {
      KahanSum next = sum;
      next.add(sample.value);
      if (!std::isinf(next.sum)) {
        sum = next;
        continue;
      }
      incremental = true;
      mean = {sum.sum / (count - 1), sum.compensation / (count - 1)};
    }
    const double kept = (count - 1) / count;
    mean = {mean.sum * kept, mean.compensation * kept};
    mean.add(sample.value / count);
  }
  return incremental ? mean.total() : sum.sum / count + sum.compensation / count;
}

bool avg_over_time(const RangeWindow& w, VectorPoint& out) {
  if (!w.floats.empty() && !w.histograms.empty()) {
    w.notes->warn(mixed_floats_histograms(w.metric()), w.pos);
    return false;
  }
  if (w.floats.empty()) return histogram_aggregate(w, out, HistogramSum::Result::mean);
  out.value = mean_of(w.floats);
  return true;
}

bool variance(const RangeWindow& w, double& out) {
  if (w.floats.empty()) return false;
  note_ignored(w);
  double count = 0;
  KahanSum mean;
  KahanSum squares;
  for (const Sample& sample : w.floats) {
    count += 1;
    const double delta = sample.value - mean.total();
    mean.add(delta / count);
    squares.add(delta * (sample.value - mean.total()));
  }
  out = squares.total() / count;
  return true;
}

bool stdvar_over_time(const RangeWindow& w, VectorPoint& out) { return variance(w, out.value); }

bool stddev_over_time(const RangeWindow& w, VectorPoint& out) {
  if (!variance(w, out.value)) return false;
  out.value = std::sqrt(out.value);
  return true;
}

std::vector<double> values_of(std::span<const Sample> floats) {
  std::vector<double> out;
  out.reserve(floats.size());
  for (const Sample& sample : floats) out.push_back(sample.value);
  return out;
}

bool quantile_over_time(const RangeWindow& w, VectorPoint& out) {
  if (w.floats.empty()) return false;
  const double q = w.scalars[0];
  if (!(q >= 0 && q <= 1)) w.notes->warn(bad_quantile(q), w.pos);
  note_ignored(w);
  std::vector<double> values = values_of(w.floats);
  out.value = quantile_of(q, values);
  return true;
}

bool mad_over_time(const RangeWindow& w, VectorPoint& out) {
  if (w.floats.empty()) return false;
  note_ignored(w);
  std::vector<double> values = values_of(w.floats);
  if (std::ranges::any_of(values, [](double v) { return std::isnan(v); })) {
    out.value = kNaN;
    return true;
  }
  const double median = quantile_of(0.5, values);
  for (double& value : values) value = std::abs(value - median);
  out.value = quantile_of(0.5, values);
  return true;
}

struct Line {
  double slope = 0;
  double intercept = 0; // at the time asked for
};

Line least_squares(std::span<const Sample> floats, std::int64_t at_ms) {
  const double first = floats.front().value;
  if (std::ranges::all_of(floats, [&](const Sample& s) { return s.value == first; })) {
    return std::isinf(first) ? Line{kNaN, kNaN} : Line{0, first};
  }
  KahanSum sum_x;
  KahanSum sum_y;
  KahanSum sum_xy;
  KahanSum sum_xx;
  for (const Sample& sample : floats) {
    const double x = static_cast<double>(sample.time_ms - at_ms) / 1000;
    sum_x.add(x);
    sum_y.add(sample.value);
    sum_xy.add(x * sample.value);
    sum_xx.add(x * x);
  }
  const auto n = static_cast<double>(floats.size());
  const double covariance = sum_xy.total() - sum_x.total() * sum_y.total() / n;
  const double spread = sum_xx.total() - sum_x.total() * sum_x.total() / n;
  const double slope = covariance / spread;
  return {slope, sum_y.total() / n - slope * sum_x.total() / n};
}

// True if there are two floats for a line. Notes a single float among histograms.
bool two_floats(const RangeWindow& w) {
  if (w.floats.size() >= 2 || w.floats.size() == 1) note_ignored(w);
  return w.floats.size() >= 2;
}

bool deriv(const RangeWindow& w, VectorPoint& out) {
  if (!two_floats(w)) return false;
  out.value = least_squares(w.floats, w.floats.front().time_ms).slope;
  return true;
}

bool predict_linear(const RangeWindow& w, VectorPoint& out) {
  if (!two_floats(w)) return false;
  const Line line = least_squares(w.floats, w.step_ms);
  out.value = line.slope * w.scalars[0] + line.intercept;
  return true;
}

bool double_exponential_smoothing(const RangeWindow& w, VectorPoint& out) {
  const double smoothing = w.scalars[0];
  const double trend_factor = w.scalars[1];
  if (smoothing <= 0 || smoothing >= 1) {
    *w.error = "invalid smoothing factor. Expected: 0 < sf < 1, got: " + std::to_string(smoothing);
    return false;
  }
  if (trend_factor <= 0 || trend_factor >= 1) {
    *w.error = "invalid trend factor. Expected: 0 < tf < 1, got: " + std::to_string(trend_factor);
    return false;
  }
  if (!two_floats(w)) return false;
  double before = 0;
  double level = w.floats[0].value;
  double trend = w.floats[1].value - w.floats[0].value;
  for (std::size_t i = 1; i < w.floats.size(); ++i) {
    if (i > 1) trend = trend_factor * (level - before) + (1 - trend_factor) * trend;
    const double next = smoothing * w.floats[i].value + (1 - smoothing) * (level + trend);
    before = level;
    level = next;
  }
  out.value = level;
  return true;
}

constexpr auto kRangeFunctions = std::to_array<std::pair<std::string_view, RangeFunction>>({
    {"absent_over_time", present_over_time},
    {"avg_over_time", avg_over_time},
    {"count_over_time", count_over_time},
    {"deriv", deriv},
    {"double_exponential_smoothing", double_exponential_smoothing},
    {"first_over_time", first_over_time},
    {"last_over_time", last_over_time},
    {"mad_over_time", mad_over_time},
    {"max_over_time", max_over_time},
    {"min_over_time", min_over_time},
    {"predict_linear", predict_linear},
    {"present_over_time", present_over_time},
    {"quantile_over_time", quantile_over_time},
    {"stddev_over_time", stddev_over_time},
    {"stdvar_over_time", stdvar_over_time},
    {"sum_over_time", sum_over_time},
    {"ts_of_first_over_time", ts_of_first_over_time},
    {"ts_of_last_over_time", ts_of_last_over_time},
    {"ts_of_max_over_time", ts_of_max_over_time},
    {"ts_of_min_over_time", ts_of_min_over_time},
});

} // namespace

RangeFunction find_range_function(std::string_view name) {
  for (const auto& [known, function] : kRangeFunctions) {
    if (known == name) return function;
  }
  return find_rate_function(name);
}

void KahanSum::add(double value) {
  const double next = sum + value;
  if (std::isinf(next)) {
    compensation = 0;
  } else if (std::abs(sum) >= std::abs(value)) {
    compensation += (sum - next) + value;
  } else {
    compensation += (value - next) + sum;
  }
  sum = next;
}

double quantile_of(double q, std::vector<double>& values) {
  if (values.empty() || std::isnan(q)) return kNaN;
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  std::ranges::sort(values,
                    [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
  const auto n = static_cast<double>(values.size());
  const double rank = q * (n - 1);
  const double lower = std::max(0.0, std::floor(rank));
  const double upper = std::min(n - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  // On a value, its neighbour has no part in it: an infinite one times 0 would be NaN.
  if (weight == 0) return values[static_cast<std::size_t>(lower)];
  return values[static_cast<std::size_t>(lower)] * (1 - weight) +
         values[static_cast<std::size_t>(upper)] * weight;
}

} // namespace coalmine::promql
