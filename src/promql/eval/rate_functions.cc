// rate, increase, delta, irate, idelta, resets, changes.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "promql/eval/extended_rate.h"
#include "promql/eval/histogram_math.h"
#include "promql/eval/range_functions.h"

namespace coalmine::promql {
namespace {

bool reset_between(std::int64_t previous_start, std::int64_t previous_time, std::int64_t start,
                   std::int64_t time) {
  if (start == 0 || start >= time || start < previous_time)
    return false; // unknown, impossible, or the same run
  if (start > previous_time) return true;
  // The start equals the time of the previous sample: a delta series, unless the previous start is
  // unknown too.
  return previous_start <= previous_time && previous_start != 0 && previous_start != previous_time;
}

template <typename T>
bool starts_overlap(const T& previous, const T& current) {
  return current.start_ms != 0 && current.start_ms < previous.time_ms &&
         current.start_ms != previous.start_ms;
}

// Last minus first value of a counter, plus the value lost at every reset.
double counter_increase(const RangeWindow& w) {
  double out = w.floats.back().value - w.floats.front().value;
  bool overlap = false;
  for (std::size_t i = 1; i < w.floats.size(); ++i) {
    const Sample& previous = w.floats[i - 1];
    const Sample& current = w.floats[i];
    if (w.use_start_times && !overlap && starts_overlap(previous, current)) {
      w.notes->start_overlap(w.metric(), w.pos);
      overlap = true;
    }
    if (current.value < previous.value ||
        (w.use_start_times && start_time_reset(previous, current)))
      out += previous.value;
  }
  return out;
}

bool histograms_reset(const RangeWindow& w, const HistogramSample& previous,
                      const HistogramSample& current) {
  return (w.use_start_times && start_time_reset(previous, current)) ||
         detect_reset(*previous.value, *current.value);
}

// Like counter_increase over histograms; nullopt (after a warning) when their buckets do not fit
// together.
std::optional<NativeHistogram> histogram_increase(const RangeWindow& w, SeriesKind kind) {
  const bool counter = kind == SeriesKind::counter;
  const auto& points = w.histograms;
  const NativeHistogram& last = *points.back().value;
  if (counter && std::ranges::any_of(points, [](const HistogramSample& p) {
        return p.value->hint == Hint::gauge;
      })) {
    w.notes->warn(histogram_not_counter(w.metric()), w.pos);
  }
  NativeHistogram first = *points.front().value;
  // A reset right after the first sample makes its buckets irrelevant, so they need not fit.
  if (counter && histograms_reset(w, points[0], points[1])) first = empty_like(*points[1].value);
  const bool custom = uses_custom_buckets(first);
  const auto mixed = [&] {
    w.notes->warn(mixed_bucket_schemas(w.metric()), w.pos);
    return std::nullopt;
  };
  if (uses_custom_buckets(last) != custom) return mixed();
  std::int32_t schema = std::min(last.schema, first.schema);
  for (std::size_t i = 1; counter && i + 1 < points.size(); ++i) {
    if (uses_custom_buckets(*points[i].value) != custom) return mixed();
    schema = std::min(schema, points[i].value->schema);
  }
  NativeHistogram out = custom ? last : reduced_to_schema(last, schema);
  bool reconciled_sub = false;
  if (!subtract(out, first, reconciled_sub)) return mixed();
  if (reconciled_sub)
    w.notes->info("mismatched custom buckets were reconciled during subtraction", w.pos);
  bool reconciled_add = false;
  bool overlap = false;
  HistogramSample previous = points.front();
  previous.value = std::make_shared<const NativeHistogram>(std::move(first));
  for (std::size_t i = 1; counter && i < points.size(); ++i) {
    const HistogramSample& current = points[i];
    if (w.use_start_times && !overlap && starts_overlap(points[i - 1], current)) {
      w.notes->start_overlap(w.metric(), w.pos);
      overlap = true;
    }
    if (histograms_reset(w, previous, current) && !add(out, *previous.value, reconciled_add))
      return mixed();
    previous = current;
  }
  if (reconciled_add)
    w.notes->info("mismatched custom buckets were reconciled during addition", w.pos);
  if (!counter && (points.front().value->hint != Hint::gauge || last.hint != Hint::gauge)) {
    w.notes->warn(histogram_not_gauge(w.metric()), w.pos);
  }
  out.hint = Hint::gauge;
  compact(out);
  return out;
}

// The inputs of extrapolation, for floats and histograms alike.
struct Increase {
  std::int64_t first_ms = 0;
  std::int64_t first_start_ms = 0;
  std::int64_t last_ms = 0;
  std::size_t samples = 0;
  double first = 0;  // value or count of the first sample
  double amount = 0; // increase of value or count
};

// The factor that scales the increase between first and last sample to the whole range. If the
// first sample's start time lies in the window, `from_start` is set: the series began there at
// zero, and nothing is extrapolated to the left.
std::optional<double> extrapolation(const RangeWindow& w, const Increase& seen, RateKind kind,
                                    bool& from_start) {
  const bool counter = kind.series == SeriesKind::counter;
  const auto seconds = [](std::int64_t ms) { return static_cast<double>(ms) / 1000; };
  double to_start = seconds(seen.first_ms - w.start_ms);
  double to_end = seconds(w.end_ms - seen.last_ms);
  double sampled = seconds(seen.last_ms - seen.first_ms);
  const double average = seen.samples > 1 ? sampled / static_cast<double>(seen.samples - 1) : 0;
  const double threshold = average * 1.1;
  from_start = counter && w.use_start_times && seen.first_start_ms != 0 &&
               seen.first_start_ms > w.start_ms && seen.first_start_ms < seen.first_ms;
  if (from_start) {
    to_start = 0;
    sampled = seconds(seen.last_ms - seen.first_start_ms);
  } else if (seen.samples == 1) {
    return std::nullopt;
  } else {
    if (to_start >= threshold) to_start = average / 2;
    // A counter is never negative, so extrapolation stops at the moment when it was zero.
    if (counter && seen.amount > 0 && seen.first >= 0)
      to_start = std::min(to_start, sampled * (seen.first / seen.amount));
  }
  if (to_end >= threshold) to_end = average / 2;
  double factor = sampled != 0 ? (sampled + to_start + to_end) / sampled : 1.0;
  if (kind.per_second) factor /= w.range_seconds();
  return factor;
}

bool float_rate(const RangeWindow& w, VectorPoint& out, RateKind kind) {
  const Sample& first = w.floats.front();
  const Sample& last = w.floats.back();
  const double amount =
      kind.series == SeriesKind::counter ? counter_increase(w) : last.value - first.value;
  bool from_start = false;
  const auto factor = extrapolation(
      w, {first.time_ms, first.start_ms, last.time_ms, w.floats.size(), first.value, amount}, kind,
      from_start);
  if (!factor) return false;
  out.value = (from_start ? amount + first.value : amount) * *factor;
  return true;
}

bool histogram_rate(const RangeWindow& w, VectorPoint& out, RateKind kind) {
  const HistogramSample& first = w.histograms.front();
  const HistogramSample& last = w.histograms.back();
  std::optional<NativeHistogram> amount;
  if (w.histograms.size() > 1) {
    amount = histogram_increase(w, kind.series);
    if (!amount) return false;
  }
  bool from_start = false;
  const auto factor =
      extrapolation(w,
                    {first.time_ms, first.start_ms, last.time_ms, w.histograms.size(),
                     first.value->count, amount ? amount->count : 0},
                    kind, from_start);
  if (!factor) return false;
  if (from_start) {
    bool reconciled = false;
    if (!amount) {
      amount = *first.value;
    } else if (!add(*amount, *first.value, reconciled)) {
      w.notes->warn(mixed_bucket_schemas(w.metric()), w.pos);
      return false;
    }
    if (reconciled)
      w.notes->info("mismatched custom buckets were reconciled during addition", w.pos);
  }
  out.histogram = std::make_shared<const NativeHistogram>(scaled(*amount, *factor));
  return true;
}

bool any_rate(const RangeWindow& w, VectorPoint& out, RateKind kind) {
  if (!w.floats.empty() && !w.histograms.empty()) {
    w.notes->warn(mixed_floats_histograms(w.metric()), w.pos);
    return false;
  }
  const bool extended = w.anchored || w.smoothed;
  if (!w.histograms.empty())
    return extended ? extended_histogram_rate(w, out, kind) : histogram_rate(w, out, kind);
  if (w.floats.empty()) return false;
  return extended ? extended_float_rate(w, out, kind) : float_rate(w, out, kind);
}

bool rate(const RangeWindow& w, VectorPoint& out) {
  return any_rate(w, out, {.series = SeriesKind::counter, .per_second = true});
}
bool increase(const RangeWindow& w, VectorPoint& out) {
  return any_rate(w, out, {.series = SeriesKind::counter});
}
bool delta(const RangeWindow& w, VectorPoint& out) {
  return any_rate(w, out, {.series = SeriesKind::gauge});
}

// A float or histogram sample, for one common time order.
struct Either {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0;
  double value = 0;
  const HistogramRef* histogram = nullptr;
};

template <typename Visit>
void in_time_order(std::span<const Sample> floats, std::span<const HistogramSample> histograms,
                   Visit visit) {
  std::size_t f = 0;
  std::size_t h = 0;
  while (f < floats.size() || h < histograms.size()) {
    if (h >= histograms.size() ||
        (f < floats.size() && floats[f].time_ms < histograms[h].time_ms)) {
      visit(Either{floats[f].time_ms, floats[f].start_ms, floats[f].value, nullptr});
      ++f;
    } else {
      visit(Either{histograms[h].time_ms, histograms[h].start_ms, 0, &histograms[h].value});
      ++h;
    }
  }
}

bool instant_histograms(const RangeWindow& w, const Either& before, const Either& now,
                        SeriesKind kind, VectorPoint& out) {
  const bool rate = kind == SeriesKind::counter;
  NativeHistogram result = **now.histogram;
  const NativeHistogram& previous = **before.histogram;
  const bool gauges = result.hint == Hint::gauge && previous.hint == Hint::gauge;
  if (rate && (result.hint == Hint::gauge || previous.hint == Hint::gauge))
    w.notes->warn(histogram_not_counter(w.metric()), w.pos);
  if (!rate && !gauges) w.notes->warn(histogram_not_gauge(w.metric()), w.pos);
  const bool reset = rate && (detect_reset(previous, result) ||
                              (w.use_start_times && reset_between(before.start_ms, before.time_ms,
                                                                  now.start_ms, now.time_ms)));
  if (!reset) {
    bool reconciled = false;
    if (!subtract(result, previous, reconciled)) {
      w.notes->warn(mixed_bucket_schemas(w.metric()), w.pos);
      return false;
    }
    if (reconciled)
      w.notes->info("mismatched custom buckets were reconciled during subtraction", w.pos);
  }
  result.hint = Hint::gauge;
  compact(result);
  if (rate) result = divided(result, static_cast<double>(now.time_ms - before.time_ms) / 1000);
  out.histogram = std::make_shared<const NativeHistogram>(std::move(result));
  return true;
}

// A counter's change is a second's.
bool instant_change(const RangeWindow& w, VectorPoint& out, SeriesKind kind) {
  const bool rate = kind == SeriesKind::counter;
  if (w.floats.size() + w.histograms.size() < 2) return false;
  Either before;
  Either now;
  const auto last_two = [](auto points) {
    return points.last(std::min<std::size_t>(2, points.size()));
  };
  in_time_order(last_two(w.floats), last_two(w.histograms), [&](const Either& one) {
    before = now;
    now = one;
  });
  if (now.time_ms == before.time_ms) return false;
  if ((now.histogram == nullptr) != (before.histogram == nullptr)) {
    w.notes->warn(mixed_floats_histograms(w.metric()), w.pos);
    return false;
  }
  if (now.histogram != nullptr) return instant_histograms(w, before, now, kind, out);
  const bool reset = rate && (now.value < before.value ||
                              (w.use_start_times && reset_between(before.start_ms, before.time_ms,
                                                                  now.start_ms, now.time_ms)));
  out.value = reset ? now.value : now.value - before.value;
  if (rate) out.value /= static_cast<double>(now.time_ms - before.time_ms) / 1000;
  return true;
}

bool irate(const RangeWindow& w, VectorPoint& out) {
  return instant_change(w, out, SeriesKind::counter);
}
bool idelta(const RangeWindow& w, VectorPoint& out) {
  return instant_change(w, out, SeriesKind::gauge);
}

// The window of resets() and changes(): an anchored one also holds the newest sample before its
// start, of either kind.
bool anchored_window(const RangeWindow& w, std::span<const Sample>& floats,
                     std::span<const HistogramSample>& histograms) {
  floats = w.floats;
  histograms = w.histograms;
  if (!w.anchored) return true;
  const auto f = static_cast<std::size_t>(
      std::ranges::upper_bound(floats, w.start_ms, {}, &Sample::time_ms) - floats.begin());
  const auto h = static_cast<std::size_t>(
      std::ranges::upper_bound(histograms, w.start_ms, {}, &HistogramSample::time_ms) -
      histograms.begin());
  if (f >= floats.size() && h >= histograms.size()) return false;
  const bool anchor_is_float =
      f > 0 && (h == 0 || floats[f - 1].time_ms >= histograms[h - 1].time_ms);
  const bool anchor_is_histogram = !anchor_is_float && h > 0;
  floats = floats.subspan(anchor_is_float ? f - 1 : f);
  histograms = histograms.subspan(anchor_is_histogram ? h - 1 : h);
  return true;
}

template <typename Differs>
bool count_transitions(const RangeWindow& w, VectorPoint& out, Differs differs) {
  std::span<const Sample> floats;
  std::span<const HistogramSample> histograms;
  if (!anchored_window(w, floats, histograms)) return false;
  std::optional<Either> before;
  int count = 0;
  in_time_order(floats, histograms, [&](const Either& now) {
    if (before &&
        ((before->histogram == nullptr) != (now.histogram == nullptr) || differs(*before, now)))
      ++count;
    before = now;
  });
  out.value = count;
  return true;
}

bool resets(const RangeWindow& w, VectorPoint& out) {
  return count_transitions(w, out, [&](const Either& a, const Either& b) {
    if (w.use_start_times && reset_between(a.start_ms, a.time_ms, b.start_ms, b.time_ms))
      return true;
    return a.histogram == nullptr ? b.value < a.value : detect_reset(**a.histogram, **b.histogram);
  });
}

bool changes(const RangeWindow& w, VectorPoint& out) {
  return count_transitions(w, out, [](const Either& a, const Either& b) {
    if (a.histogram != nullptr) return !equal(**a.histogram, **b.histogram);
    return a.value != b.value && !(std::isnan(a.value) && std::isnan(b.value));
  });
}

constexpr auto kRateFunctions = std::to_array<std::pair<std::string_view, RangeFunction>>({
    {"changes", changes},
    {"delta", delta},
    {"idelta", idelta},
    {"increase", increase},
    {"irate", irate},
    {"rate", rate},
    {"resets", resets},
});

} // namespace

RangeFunction find_rate_function(std::string_view name) {
  for (const auto& [known, function] : kRateFunctions) {
    if (known == name) return function;
  }
  return nullptr;
}

bool start_time_reset(const Sample& previous, const Sample& current) {
  return reset_between(previous.start_ms, previous.time_ms, current.start_ms, current.time_ms);
}
bool start_time_reset(const HistogramSample& previous, const HistogramSample& current) {
  return reset_between(previous.start_ms, previous.time_ms, current.start_ms, current.time_ms);
}

} // namespace coalmine::promql
