// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/extended_rate.h"

#include <algorithm>

#include "promql/eval/evaluator.h"
#include "promql/eval/histogram_math.h"

namespace coalmine::promql {
namespace {

// The points that represent the ends of the range.
struct Ends {
  std::size_t first = 0;
  std::size_t last = 0;
};

// nullopt when no point lies after the start (or, smoothed, all lie behind the end).
template <typename T>
std::optional<Ends> ends_of(std::span<const T> points, std::int64_t start_ms, std::int64_t end_ms,
                            bool smoothed) {
  if (points.empty()) return std::nullopt;
  const auto but_last = points.first(points.size() - 1);
  const auto after_start = static_cast<std::size_t>(
      std::ranges::upper_bound(but_last, start_ms, {}, &T::time_ms) - but_last.begin());
  Ends out{after_start == 0 ? 0 : after_start - 1, points.size() - 1};
  if (smoothed)
    out.last = static_cast<std::size_t>(
        std::ranges::lower_bound(but_last, end_ms, {}, &T::time_ms) - but_last.begin());
  if (points[out.last].time_ms <= start_ms) return std::nullopt;
  if (smoothed && points[out.first].time_ms > end_ms) return std::nullopt;
  return out;
}

double left_value(std::span<const Sample> f, std::size_t first, std::int64_t start_ms,
                  bool smoothed, SeriesKind kind) {
  if (smoothed && f[first].time_ms < start_ms && first + 1 < f.size())
    return interpolate(f[first], f[first + 1], start_ms, kind);
  return f[first].value;
}

double right_value(std::span<const Sample> f, std::size_t last, std::int64_t end_ms, bool smoothed,
                   SeriesKind kind) {
  if (smoothed && last > 0 && f[last].time_ms > end_ms)
    return interpolate(f[last - 1], f[last], end_ms, kind);
  return f[last].value;
}

} // namespace

double interpolate(const Sample& a, const Sample& b, std::int64_t time_ms, SeriesKind kind) {
  const double from = kind == SeriesKind::counter && b.value < a.value ? 0 : a.value;
  return from + (b.value - from) * static_cast<double>(time_ms - a.time_ms) /
                    static_cast<double>(b.time_ms - a.time_ms);
}

std::optional<NativeHistogram> interpolate(const HistogramSample& a, const HistogramSample& b,
                                           std::int64_t time_ms, SeriesKind kind,
                                           Annotations& notes, std::size_t pos) {
  if (time_ms == a.time_ms) return *a.value;
  if (time_ms == b.time_ms) return *b.value;
  const double fraction =
      static_cast<double>(time_ms - a.time_ms) / static_cast<double>(b.time_ms - a.time_ms);
  if (kind == SeriesKind::counter && detect_reset(*a.value, *b.value))
    return scaled(*b.value, fraction);
  NativeHistogram out = *b.value;
  bool subtracted = false;
  bool added = false;
  if (!subtract(out, *a.value, subtracted)) return std::nullopt;
  out = scaled(out, fraction);
  if (!add(out, *a.value, added)) return std::nullopt;
  if (subtracted) notes.info("mismatched custom buckets were reconciled during subtraction", pos);
  if (added) notes.info("mismatched custom buckets were reconciled during addition", pos);
  return out;
}

std::vector<Sample> extended_floats(std::span<const Sample> floats, std::int64_t start_ms,
                                    std::int64_t end_ms, bool smoothed) {
  const auto ends = ends_of(floats, start_ms, end_ms, smoothed);
  if (!ends) return {};
  std::vector<Sample> out;
  out.push_back(
      {start_ms, left_value(floats, ends->first, start_ms, smoothed, SeriesKind::gauge), 0});
  for (const Sample& sample : floats) {
    if (sample.time_ms > start_ms && sample.time_ms < end_ms)
      out.push_back({sample.time_ms, sample.value, 0});
  }
  out.push_back({end_ms, right_value(floats, ends->last, end_ms, smoothed, SeriesKind::gauge), 0});
  return out;
}

bool extended_float_rate(const RangeWindow& w, VectorPoint& out, RateKind kind) {
  const auto ends = ends_of(w.floats, w.start_ms, w.end_ms, w.smoothed);
  if (!ends) return false;
  const double left = left_value(w.floats, ends->first, w.start_ms, w.smoothed, kind.series);
  const double right = right_value(w.floats, ends->last, w.end_ms, w.smoothed, kind.series);
  out.value = right - left;
  if (kind.series == SeriesKind::counter) {
    std::size_t first = ends->first;
    std::size_t last = ends->last + 1; // exclusive
    if (w.floats[first].time_ms <= w.start_ms) ++first;
    if (w.floats[ends->last].time_ms >= w.end_ms) --last;
    double previous = left;
    for (std::size_t i = first; i < last; ++i) {
      if (w.floats[i].value < previous) out.value += previous;
      previous = w.floats[i].value;
    }
    if (right < previous) out.value += previous;
  }
  if (kind.per_second) out.value /= w.range_seconds();
  return true;
}

namespace {

// Computes the counts lost by resets between the two ends; nullopt when there were none. Returns
// false when buckets do not fit.
bool reset_correction(const RangeWindow& w, const Ends& ends, const NativeHistogram& left,
                      const NativeHistogram& right, std::optional<NativeHistogram>& out) {
  const auto& h = w.histograms;
  std::size_t first = ends.first + 1; // the first sample is represented by left
  const NativeHistogram* previous = &left;
  if (w.smoothed && h[ends.first].time_ms < w.start_ms && first < h.size() &&
      detect_reset(*h[ends.first].value, *h[first].value)) {
    previous = h[first].value.get(); // left was interpolated over this reset
    ++first;
  }
  if (first > ends.last) return true;
  bool reconciled = false;
  const auto lost = [&](const NativeHistogram& amount) {
    if (!out) {
      out = amount;
      return true;
    }
    return add(*out, amount, reconciled);
  };
  for (std::size_t i = first; i < ends.last; ++i) {
    if (detect_reset(*previous, *h[i].value) && !lost(*previous)) return false;
    previous = h[i].value.get();
  }
  if (detect_reset(*previous, right) && !lost(*previous)) return false;
  if (reconciled) w.notes->info("mismatched custom buckets were reconciled during addition", w.pos);
  return true;
}

} // namespace

bool extended_histogram_rate(const RangeWindow& w, VectorPoint& out, RateKind kind) {
  const bool counter = kind.series == SeriesKind::counter;
  const auto& h = w.histograms;
  const auto ends = ends_of(h, w.start_ms, w.end_ms, w.smoothed);
  if (!ends) return false;
  const auto mixed = [&] {
    w.notes->warn(mixed_bucket_schemas(w.metric()), w.pos);
    return false;
  };
  for (std::size_t i = ends->first; i <= ends->last; ++i) {
    if (uses_custom_buckets(*h[i].value) != uses_custom_buckets(*h[ends->first].value))
      return mixed();
    if (counter && h[i].value->hint == Hint::gauge)
      w.notes->warn(histogram_not_counter(w.metric()), w.pos);
  }
  std::optional<NativeHistogram> left = *h[ends->first].value;
  if (w.smoothed && h[ends->first].time_ms < w.start_ms && ends->first + 1 < h.size()) {
    left =
        interpolate(h[ends->first], h[ends->first + 1], w.start_ms, kind.series, *w.notes, w.pos);
  }
  std::optional<NativeHistogram> right = *h[ends->last].value;
  if (w.smoothed && ends->last > 0 && h[ends->last].time_ms > w.end_ms) {
    right = interpolate(h[ends->last - 1], h[ends->last], w.end_ms, kind.series, *w.notes, w.pos);
  }
  if (!left || !right) return mixed();
  if (!counter && (left->hint != Hint::gauge || right->hint != Hint::gauge))
    w.notes->warn(histogram_not_gauge(w.metric()), w.pos);
  NativeHistogram result = *right;
  bool subtracted = false;
  bool added = false;
  if (!subtract(result, *left, subtracted)) return mixed();
  if (subtracted)
    w.notes->info("mismatched custom buckets were reconciled during subtraction", w.pos);
  std::optional<NativeHistogram> correction;
  if (counter && !reset_correction(w, *ends, *left, *right, correction)) return mixed();
  if (correction && !add(result, *correction, added)) return mixed();
  if (added) w.notes->info("mismatched custom buckets were reconciled during addition", w.pos);
  if (kind.per_second) result = divided(result, w.range_seconds());
  result.hint = Hint::gauge;
  compact(result);
  out.histogram = std::make_shared<const NativeHistogram>(std::move(result));
  return true;
}

// An instant selector whose value is interpolated between the samples around each step.
Eval<EvalMatrix> Evaluator::eval_smoothed(const VectorSelector& node, const Frame& frame) {
  EvalMatrix out;
  const std::int64_t reach = options_.lookback_ms;
  for (const EvalSeries& source : fetched_[&node]) {
    EvalSeries series{.labels = source.labels};
    for (std::int64_t t = frame.start; t <= frame.end; t += frame.step) {
      if (look_due()) {
        TRY_EVAL([[maybe_unused]] bool in_time, check_deadline());
      }
      const std::int64_t at = reference(node.shift, t);
      const auto floats = window_of(source.floats, at - reach, at + reach);
      const auto histograms = window_of(source.histograms, at - reach, at + reach);
      if (!floats.empty() && !histograms.empty()) {
        notes_.warn(mixed_floats_histograms(source.labels->metric_name()), node.range.start);
      } else if (!histograms.empty()) {
        const auto next = std::ranges::lower_bound(histograms, at, {}, &HistogramSample::time_ms);
        if (next != histograms.end() && next->time_ms == at) {
          series.histograms.push_back({t, next->value, 0});
        } else if (next == histograms.begin()) {
          continue; // nothing before this time
        } else if (next == histograms.end()) {
          auto value = std::make_shared<NativeHistogram>(*histograms.back().value);
          value->hint = Hint::unknown;
          series.histograms.push_back({t, std::move(value), 0});
        } else {
          const HistogramSample& before = *(next - 1);
          const auto kind = before.value->hint == Hint::gauge && next->value->hint == Hint::gauge
                                ? SeriesKind::gauge
                                : SeriesKind::counter;
          auto value = uses_custom_buckets(*before.value) == uses_custom_buckets(*next->value)
                           ? interpolate(before, *next, at, kind, notes_, node.range.start)
                           : std::nullopt;
          if (value) {
            series.histograms.push_back(
                {t, std::make_shared<const NativeHistogram>(std::move(*value)), 0});
          } else {
            notes_.warn(mixed_bucket_schemas(source.labels->metric_name()), node.range.start);
          }
        }
      } else if (!floats.empty()) {
        const auto next = std::ranges::lower_bound(floats, at, {}, &Sample::time_ms);
        if (next != floats.end() && next->time_ms == at) {
          series.floats.push_back({t, next->value, 0});
        } else if (next != floats.begin()) {
          const Sample& before = *(next - 1);
          series.floats.push_back({t,
                                   next == floats.end()
                                       ? before.value
                                       : interpolate(before, *next, at, SeriesKind::gauge),
                                   0});
        }
      }
    }
    TRY_EVAL([[maybe_unused]] bool fits, charge(series.points()));
    if (series.points() > 0) out.push_back(std::move(series));
  }
  return out;
}

} // namespace coalmine::promql
