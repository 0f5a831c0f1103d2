// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/eval_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "promql/eval/eval_histogram.h"
#include "promql/eval/eval_info.h"
#include "promql/eval/histogram_math.h"
#include "promql/eval/value_functions.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {

std::span<const double> CallEvaluator::Scalars::at(std::size_t step) {
  row.clear();
  for (const EvalMatrix& column : columns) row.push_back(column[0].floats[step].value);
  return row;
}

Eval<bool> CallEvaluator::add_scalar(Scalars& out, std::size_t arg_index) {
  TRY_EVAL(EvalMatrix column, eval_arg(arg_index));
  out.columns.push_back(std::move(column));
  return true;
}

Eval<EvalMatrix> CallEvaluator::run() {
  const std::string_view name = node_.function->name;
  if (const RangeFunction function = find_range_function(name)) {
    std::size_t range_arg = 0;
    while (node_.function->arg_type(range_arg) != ValueType::matrix) ++range_arg;
    return over_range(range_arg, function);
  }
  if (const ValueFunction function = find_value_function(name)) return by_value(function, 0);
  if (const ValueFunction function = find_date_function(name)) return date(function);
  if (is_histogram_function(name)) return HistogramFunctions(eval_, node_, frame_).run();
  if (is("timestamp") || is("start_timestamp")) return sample_times();
  if (is("label_replace")) return label_replace();
  if (is("label_join")) return label_join();
  if (is("info")) return InfoEvaluator(eval_, node_, frame_).run();
  if (is("absent")) return absent();
  if (is("scalar")) return to_scalar();
  if (is("vector")) return to_vector();
  if (is("max_of") || is("min_of")) return pick_scalar();
  if (is("pi")) return eval_.constant(std::numbers::pi, frame_);
  if (is("time")) {
    EvalMatrix out = eval_.constant(0, frame_);
    for (Sample& sample : out[0].floats) sample.value = static_cast<double>(sample.time_ms) / 1000;
    return out;
  }
  if (is("sort") || is("sort_desc") || is("sort_by_label") || is("sort_by_label_desc"))
    return sorted();
  return std::unexpected(
      QueryError{QueryError::Kind::unimplemented,
                 fmt::format("function {} is not evaluated by this server", name),
                 {}});
}

Eval<bool> CallEvaluator::check_extended(const VectorSelector& selector) const {
  constexpr std::array<std::string_view, 5> kAnchored = {"changes", "delta", "increase", "rate",
                                                         "resets"};
  constexpr std::array<std::string_view, 3> kSmoothed = {"delta", "increase", "rate"};
  const std::string_view name = node_.function->name;
  if (selector.anchored && std::ranges::find(kAnchored, name) == kAnchored.end()) {
    return execution_error(fmt::format("anchored modifier can only be used with: {} - not with {}",
                                       fmt::join(kAnchored, ", "), name));
  }
  if (selector.smoothed && std::ranges::find(kSmoothed, name) == kSmoothed.end()) {
    return execution_error(fmt::format("smoothed modifier can only be used with: {} - not with {}",
                                       fmt::join(kSmoothed, ", "), name));
  }
  return true;
}

Eval<EvalMatrix> CallEvaluator::over_range(std::size_t range_arg, RangeFunction function) {
  const Expr& range = arg(range_arg);
  const auto* matrix = as<MatrixSelector>(&range);
  const auto* subquery = as<SubqueryExpr>(&range);
  const VectorSelector* selector = matrix != nullptr ? matrix->selector.get() : nullptr;
  EvalMatrix inner;
  if (subquery != nullptr) {
    TRY_EVAL(inner, eval_.eval_subquery(*subquery, frame_));
    forget_reset_hints(inner);
  }
  Scalars scalars;
  for (std::size_t i = 0; i < node_.args.size(); ++i) {
    if (i == range_arg) continue;
    TRY_EVAL([[maybe_unused]] bool added, add_scalar(scalars, i));
  }
  if (selector != nullptr) {
    TRY_EVAL([[maybe_unused]] bool allowed, check_extended(*selector));
  }
  const EvalMatrix& sources = selector != nullptr ? eval_.fetched_[selector] : inner;
  const std::int64_t range_ms = selector != nullptr ? matrix->range_ms : subquery->range_ms;
  const TimeShift& shift = selector != nullptr ? selector->shift : subquery->shift;
  EvalMatrix out;
  for (const EvalSeries& source : sources) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    TRY_EVAL(EvalSeries series,
             range_series(source, function, scalars, range_ms, shift, range_arg, selector));
    if (series.points() == 0) continue;
    TRY_EVAL([[maybe_unused]] bool fits, eval_.charge(series.points()));
    if (!series.floats.empty())
      note_non_counter(eval_.notes_, node_.function->name, source.labels->metric_name(),
                       place(range_arg, subquery != nullptr));
    out.push_back(std::move(series));
  }
  if (is("absent_over_time")) return absent_over_time(std::move(out), range_arg);
  if (eval_.delayed()) return out;
  return merge_same_labels(std::move(out));
}

// Where annotations point: the first argument. Prometheus forgets the place of a subquery and
// points at the start of the text.
std::size_t CallEvaluator::place(std::size_t range_arg, bool subquery) const {
  return subquery && range_arg == 0 ? 0 : arg(0).range.start;
}

void note_non_counter(Annotations& notes, std::string_view function, std::string_view metric,
                      std::size_t pos) {
  if (function != "rate" && function != "increase") return;
  constexpr std::array<std::string_view, 4> kCounters = {"_total", "_sum", "_count", "_bucket"};
  if (metric.empty() || std::ranges::any_of(kCounters, [&](std::string_view suffix) {
        return metric.ends_with(suffix);
      }))
    return;
  notes.info("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: " +
                 go_quote(metric),
             pos);
}

Eval<EvalSeries> CallEvaluator::range_series(const EvalSeries& source, RangeFunction function,
                                             Scalars& scalars, std::int64_t range_ms,
                                             const TimeShift& shift, std::size_t range_arg,
                                             const VectorSelector* selector) {
  const bool drop = source.drop_name || !(is("last_over_time") || is("first_over_time"));
  EvalSeries out{.labels = drop ? eval_.dropped(source.labels) : source.labels, .drop_name = drop};
  std::string error;
  RangeWindow window;
  window.labels = source.labels.get();
  window.pos = place(range_arg, selector == nullptr);
  window.notes = &eval_.notes_;
  window.error = &error;
  window.anchored = selector != nullptr && selector->anchored;
  window.smoothed = selector != nullptr && selector->smoothed;
  window.use_start_times = eval_.options_.use_start_timestamps && selector != nullptr;
  const std::int64_t before = window.anchored || window.smoothed ? eval_.options_.lookback_ms : 0;
  const std::int64_t after = window.smoothed ? eval_.options_.lookback_ms : 0;
  SlidingWindow<Sample> floats(source.floats);
  SlidingWindow<HistogramSample> histograms(source.histograms);
  std::size_t step = 0;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step, ++step) {
    window.step_ms = t;
    window.end_ms = Evaluator::reference(shift, t);
    window.start_ms = window.end_ms - range_ms;
    window.floats = floats.move_to(window.start_ms - before, window.end_ms + after);
    window.histograms = histograms.move_to(window.start_ms - before, window.end_ms + after);
    // A median of thousands of samples takes far longer than a rate.
    if (eval_.look_due(1 + window.floats.size() / 4 + window.histograms.size())) {
      TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    }
    if (window.floats.empty() && window.histograms.empty()) continue;
    window.scalars = scalars.at(step);
    VectorPoint point;
    if (function(window, point)) {
      if (point.histogram) {
        out.histograms.push_back({t, std::move(point.histogram), 0});
      } else {
        out.floats.push_back({t, point.value, 0});
      }
    }
    if (!error.empty()) return execution_error(error);
  }
  return out;
}

namespace {

// The labels an absent series would surely have: equality matchers on labels matched once.
LabelsRef labels_when_absent(const Expr& expr) {
  const auto* selector = as<VectorSelector>(&expr);
  if (const auto* matrix = as<MatrixSelector>(&expr)) selector = matrix->selector.get();
  if (selector == nullptr) return empty_labels();
  Labels out;
  std::vector<std::string> seen;
  for (const Matcher& matcher : selector->matchers) {
    if (matcher.name == kMetricName) continue;
    const bool first = std::ranges::find(seen, matcher.name) == seen.end();
    if (matcher.op == Matcher::Op::equal && first) {
      out = out.with(matcher.name, matcher.value);
      seen.push_back(matcher.name);
    } else {
      out = out.without(matcher.name);
    }
  }
  return std::make_shared<const Labels>(std::move(out));
}

// One series with 1 at every step where the matrix has no point.
EvalMatrix gaps(const EvalMatrix& matrix, const Frame& frame, LabelsRef labels) {
  std::vector<bool> found(frame.steps(), false);
  const auto mark = [&](std::int64_t t) {
    found[static_cast<std::size_t>((t - frame.start) / frame.step)] = true;
  };
  for (const EvalSeries& series : matrix) {
    for (const Sample& sample : series.floats) mark(sample.time_ms);
    for (const HistogramSample& sample : series.histograms) mark(sample.time_ms);
  }
  EvalSeries out{.labels = std::move(labels)};
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i])
      out.floats.push_back({frame.start + static_cast<std::int64_t>(i) * frame.step, 1, 0});
  }
  EvalMatrix all;
  if (!out.floats.empty()) all.push_back(std::move(out));
  return all;
}

} // namespace

void forget_reset_hints(EvalMatrix& matrix) {
  for (EvalSeries& series : matrix) {
    for (HistogramSample& sample : series.histograms) {
      if (sample.value->hint != Hint::reset && sample.value->hint != Hint::not_reset) continue;
      auto copy = std::make_shared<NativeHistogram>(*sample.value);
      copy->hint = Hint::unknown;
      sample.value = std::move(copy);
    }
  }
}

Eval<EvalMatrix> CallEvaluator::absent_over_time(EvalMatrix present, std::size_t range_arg) {
  return gaps(present, frame_, labels_when_absent(arg(range_arg)));
}

Eval<EvalMatrix> CallEvaluator::absent() {
  TRY_EVAL(const EvalMatrix vector, eval_arg(0));
  return gaps(vector, frame_, labels_when_absent(arg(0)));
}

Eval<EvalMatrix> CallEvaluator::by_value(ByValue function, std::size_t vector_arg) {
  TRY_EVAL(EvalMatrix vector, eval_arg(vector_arg));
  Scalars scalars;
  for (std::size_t i = 0; i < node_.args.size(); ++i) {
    if (i == vector_arg) continue;
    TRY_EVAL([[maybe_unused]] bool added, add_scalar(scalars, i));
  }
  EvalMatrix out;
  for (EvalSeries& series : vector) {
    std::size_t kept = 0;
    for (Sample& sample : series.floats) {
      const auto step = static_cast<std::size_t>((sample.time_ms - frame_.start) / frame_.step);
      double value = 0;
      if (function(sample.value, scalars.at(step), value))
        series.floats[kept++] = {sample.time_ms, value, 0};
    }
    series.floats.resize(kept);
    series.histograms.clear(); // only floats are computed with
    if (kept == 0) continue;
    series.labels = eval_.dropped(series.labels);
    series.drop_name = true;
    out.push_back(std::move(series));
  }
  if (eval_.delayed()) return out;
  return merge_same_labels(std::move(out));
}

Eval<EvalMatrix> CallEvaluator::date(ByValue function) {
  if (!node_.args.empty()) return by_value(function, 0);
  EvalMatrix out = eval_.constant(0, frame_);
  for (Sample& sample : out[0].floats)
    function(std::floor(static_cast<double>(sample.time_ms) / 1000), {}, sample.value);
  return out;
}

// timestamp(v) and start_timestamp(v): straight on a selector they read the sample's own times.
Eval<EvalMatrix> CallEvaluator::sample_times() {
  const auto* selector = as<VectorSelector>(&arg(0));
  const bool starts = is("start_timestamp");
  if (starts && (selector == nullptr || !eval_.options_.use_start_timestamps)) return EvalMatrix{};
  EvalMatrix out;
  if (selector == nullptr) {
    TRY_EVAL(out, eval_arg(0));
    for (EvalSeries& series : out) {
      for (Sample& sample : series.floats)
        sample.value = static_cast<double>(sample.time_ms) / 1000;
      for (const HistogramSample& sample : series.histograms)
        series.floats.push_back({sample.time_ms, static_cast<double>(sample.time_ms) / 1000, 0});
      series.histograms.clear();
      std::ranges::sort(series.floats, {}, &Sample::time_ms);
    }
  } else {
    TRY_EVAL(out, eval_.eval_sample_times(
                      *selector, frame_,
                      starts ? Evaluator::SampleTime::start : Evaluator::SampleTime::own));
  }
  for (EvalSeries& series : out) {
    series.labels = eval_.dropped(series.labels);
    series.drop_name = true;
  }
  if (eval_.delayed()) return out;
  return merge_same_labels(std::move(out));
}

Eval<EvalMatrix> CallEvaluator::to_scalar() {
  TRY_EVAL(const EvalMatrix vector, eval_arg(0));
  EvalMatrix out = eval_.constant(std::numeric_limits<double>::quiet_NaN(), frame_);
  StepCursor cursor(vector);
  std::vector<VectorPoint> points;
  for (Sample& sample : out[0].floats) {
    cursor.gather(sample.time_ms, points);
    std::erase_if(points, [](const VectorPoint& p) { return p.histogram != nullptr; });
    if (points.size() == 1) sample.value = points[0].value;
  }
  return out;
}

Eval<EvalMatrix> CallEvaluator::to_vector() { return eval_arg(0); }

Eval<EvalMatrix> CallEvaluator::pick_scalar() {
  TRY_EVAL(EvalMatrix out, eval_arg(0));
  TRY_EVAL(const EvalMatrix other, eval_arg(1));
  for (std::size_t i = 0; i < out[0].floats.size(); ++i) {
    double& value = out[0].floats[i].value;
    value = is("max_of") ? go_max(value, other[0].floats[i].value)
                         : go_min(value, other[0].floats[i].value);
  }
  return out;
}

} // namespace coalmine::promql
