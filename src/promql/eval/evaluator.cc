// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/evaluator.h"

#include <fmt/format.h>

#include <algorithm>

#include "promql/eval/column_sums.h"
#include "promql/eval/eval_aggregate.h"
#include "promql/eval/eval_binary.h"
#include "promql/eval/eval_call.h"
#include "promql/eval/histogram_math.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {
namespace {

constexpr std::string_view kTooMany =
    "query processing would load too many samples into memory in query execution";

std::size_t bytes_of(const EvalSeries& series) {
  constexpr std::size_t kLabel = 2 * sizeof(std::string);
  std::size_t out = sizeof(EvalSeries) + sizeof(Labels) + series.labels->size() * kLabel +
                    series.floats.size() * sizeof(Sample);
  for (const HistogramSample& sample : series.histograms) {
    const NativeHistogram& h = *sample.value;
    out += sizeof(HistogramSample) + sizeof(NativeHistogram) +
           (h.positive.counts.size() + h.negative.counts.size() + h.custom_bounds.size()) *
               sizeof(double);
  }
  return out;
}

// Drops buckets. Before that it determines whether each sample follows a reset.
void reduce_to_stats(std::vector<HistogramSample>& samples) {
  HistogramRef previous;
  for (HistogramSample& sample : samples) {
    const HistogramRef whole = sample.value;
    auto stats = std::make_shared<NativeHistogram>();
    stats->schema = whole->schema;
    stats->count = whole->count;
    stats->sum = whole->sum;
    stats->hint = whole->hint;
    if (stats->hint == Hint::unknown && previous && !is_stale(whole->sum)) {
      stats->hint = detect_reset(*previous, *whole) ? Hint::reset : Hint::not_reset;
    }
    if (!is_stale(whole->sum)) previous = whole;
    sample.value = std::move(stats);
  }
}

} // namespace

std::size_t count_points(const EvalMatrix& matrix) {
  std::size_t out = 0;
  for (const EvalSeries& series : matrix) out += series.points();
  return out;
}

Eval<bool> Evaluator::check_deadline() {
  if (options_.canceled && options_.canceled()) {
    return std::unexpected(
        QueryError{QueryError::Kind::canceled, "query was canceled in expression evaluation", {}});
  }
  if (options_.deadline_steady_ms == 0 || clock_.steady_ms() < options_.deadline_steady_ms)
    return true;
  return std::unexpected(
      QueryError{QueryError::Kind::timeout, "query timed out in expression evaluation", {}});
}

Eval<bool> Evaluator::charge(std::size_t samples) {
  samples_ += samples;
  if (samples_ > options_.max_samples) return execution_error(std::string(kTooMany));
  return within_memory();
}

Eval<bool> Evaluator::within_memory() const {
  if (fetched_bytes_ + samples_ * sizeof(Sample) <= options_.max_bytes) return true;
  return execution_error(
      fmt::format("the query needs more than {} MiB of memory; select fewer series, a shorter "
                  "range or a larger step",
                  options_.max_bytes >> 20));
}

Eval<bool> Evaluator::charge_fetched(const EvalMatrix& series) {
  fetched_series_ += series.size();
  if (fetched_series_ > options_.max_series) {
    return execution_error(
        fmt::format("the query selects more than {} series; add matchers to its selectors",
                    options_.max_series));
  }
  for (const EvalSeries& one : series) fetched_bytes_ += bytes_of(one);
  return within_memory();
}

Eval<EvalMatrix> Evaluator::run(const Expr& expr, const Frame& frame) {
  TRY_EVAL([[maybe_unused]] bool fetched, fetch(expr, frame.start, frame.end));
  TRY_EVAL(EvalMatrix matrix, eval(expr, frame));
  if (!delayed() || type_of(expr) == ValueType::scalar) return matrix;
  for (EvalSeries& series : matrix) {
    if (series.drop_name) series.labels = without_name(series.labels);
  }
  return merge_same_labels(std::move(matrix));
}

// from, to: the steps at which the expression is evaluated.
Eval<bool> Evaluator::fetch(const Expr& expr, std::int64_t from, std::int64_t to) {
  if (const auto* vector = as<VectorSelector>(&expr))
    return fetch_selector(*vector, from, to, 0, SelectorKind::instant);
  if (const auto* matrix = as<MatrixSelector>(&expr))
    return fetch_selector(*matrix->selector, from, to, matrix->range_ms, SelectorKind::range);
  if (const auto* subquery = as<SubqueryExpr>(&expr)) {
    const std::int64_t first = reference(subquery->shift, from) - subquery->range_ms;
    return fetch(*subquery->inner, first, reference(subquery->shift, to));
  }
  if (const auto* call = as<CallExpr>(&expr); call != nullptr && call->function->name == "info")
    return fetch(*call->args[0], from, to);
  if (const auto* aggregate = as<AggregateExpr>(&expr)) {
    TRY_EVAL(const bool planned, plan_columns(*aggregate, from, to));
    if (planned) return true;
  }
  for (ExprPtr* child : child_slots(const_cast<Expr&>(expr))) { // only read here
    TRY_EVAL([[maybe_unused]] bool done, fetch(**child, from, to));
  }
  return true;
}

Selection Evaluator::selection_of(const VectorSelector& node, std::int64_t from, std::int64_t to,
                                  std::int64_t range_ms, SelectorKind kind) {
  Selection selection;
  selection.matchers = for_storage(node.matchers);
  const std::int64_t before =
      kind == SelectorKind::range
          ? range_ms + (node.anchored || node.smoothed ? options_.lookback_ms : 0)
          : options_.lookback_ms;
  selection.from_ms = reference(node.shift, from) - before + 1;
  selection.to_ms = reference(node.shift, to) + (node.smoothed ? options_.lookback_ms : 0);
  selection.max_samples = options_.max_samples;
  selection.give_up = [this] { return !check_deadline(); };
  return selection;
}

Eval<bool> Evaluator::plan_columns(const AggregateExpr& node, std::int64_t from, std::int64_t to) {
  if (!options_.column_plans || options_.delayed_name_removal || options_.use_start_timestamps)
    return false;
  const MatrixSelector* range = ColumnSums::range_of(node);
  if (range == nullptr) return false;
  Selection selection =
      selection_of(*range->selector, from, to, range->range_ms, SelectorKind::range);
  selection.one_window = from == to && options_.block_summaries;
  auto source = data_.columns(selection);
  if (!source) return std::unexpected(select_error(source.error(), Cap::samples));
  if (*source == nullptr) return false;
  planned_[&node] = {std::move(*source), selection.max_samples, from, to};
  return true;
}

Eval<bool> Evaluator::fetch_planned(const AggregateExpr& node) {
  const Planned& planned = planned_.at(&node);
  return fetch(*node.inner, planned.from, planned.to);
}

QueryError Evaluator::select_error(const Error& error, Cap cap) {
  switch (error.code) {
    case ErrorCode::resource_exhausted: {
      if (cap == Cap::samples) return execution_error(std::string(kTooMany)).error();
      fetched_bytes_ = options_.max_bytes + 1;
      return within_memory().error();
    }
    case ErrorCode::unavailable: return {QueryError::Kind::unavailable, error.message, {}};
    case ErrorCode::deadline_exceeded: {
      // Either we gave up, or the data source ran out of time.
      const auto in_time = check_deadline();
      return in_time ? QueryError{QueryError::Kind::timeout, error.message, {}} : in_time.error();
    }
    default: return execution_error("expanding series: " + error.message).error();
  }
}

Eval<bool> Evaluator::fetch_selector(const VectorSelector& node, std::int64_t from, std::int64_t to,
                                     std::int64_t range_ms, SelectorKind kind) {
  Selection selection = selection_of(node, from, to, range_ms, kind);
  // Samples beyond the memory limit of the query are not even fetched.
  const std::size_t room = options_.max_bytes - std::min(options_.max_bytes, fetched_bytes_);
  const bool by_memory = room / sizeof(Sample) < options_.max_samples;
  if (by_memory) selection.max_samples = room / sizeof(Sample);
  auto found = data_.select(selection);
  if (!found)
    return std::unexpected(select_error(found.error(), by_memory ? Cap::memory : Cap::samples));
  EvalMatrix series;
  series.reserve(found->size());
  for (Series& one : *found) {
    EvalSeries next{.labels = std::make_shared<const Labels>(std::move(one.labels)),
                    .floats = std::move(one.floats),
                    .histograms = std::move(one.histograms)};
    if (kind == SelectorKind::range || node.smoothed) {
      std::erase_if(next.floats, [](const Sample& s) { return is_stale(s.value); });
      std::erase_if(next.histograms,
                    [](const HistogramSample& s) { return is_stale(s.value->sum); });
    }
    if (node.stats_only) reduce_to_stats(next.histograms);
    if (next.points() > 0) series.push_back(std::move(next));
  }
  TRY_EVAL([[maybe_unused]] bool fits, charge_fetched(series));
  fetched_[&node] = std::move(series);
  return check_deadline();
}

Eval<EvalMatrix> Evaluator::eval(const Expr& expr, const Frame& frame) {
  if (frame.end < frame.start) return EvalMatrix{};
  // A long subquery with a short step is refused before its steps are walked or its constants are
  // repeated.
  if (frame.steps() > options_.max_samples) return execution_error(std::string(kTooMany));
  if (expr.step_invariant && !frame.single()) return eval_invariant(expr, frame);
  TRY_EVAL([[maybe_unused]] bool in_time, check_deadline());
  const std::size_t before = samples_;
  TRY_EVAL(EvalMatrix out, eval_node(expr, frame));
  samples_ = before;
  TRY_EVAL([[maybe_unused]] bool fits, charge(count_points(out)));
  return out;
}

Eval<EvalMatrix> Evaluator::eval_node(const Expr& expr, const Frame& frame) {
  switch (expr.kind) {
    case Expr::Kind::number: return constant(static_cast<const NumberLiteral&>(expr).value, frame);
    case Expr::Kind::string: return EvalMatrix{};
    case Expr::Kind::duration:
      return execution_error("a duration expression is only valid in a range, a step or an offset");
    case Expr::Kind::paren: return eval(*static_cast<const ParenExpr&>(expr).inner, frame);
    case Expr::Kind::unary: return eval_unary(static_cast<const UnaryExpr&>(expr), frame);
    case Expr::Kind::vector: return eval_selector(static_cast<const VectorSelector&>(expr), frame);
    case Expr::Kind::matrix:
      return eval_matrix_selector(static_cast<const MatrixSelector&>(expr), frame);
    case Expr::Kind::subquery: return eval_subquery(static_cast<const SubqueryExpr&>(expr), frame);
    case Expr::Kind::call:
      return CallEvaluator(*this, static_cast<const CallExpr&>(expr), frame).run();
    case Expr::Kind::aggregate:
      return AggregateEvaluator(*this, static_cast<const AggregateExpr&>(expr), frame).run();
    case Expr::Kind::binary:
      return BinaryEvaluator(*this, static_cast<const BinaryExpr&>(expr), frame).run();
  }
  return EvalMatrix{};
}

Eval<EvalMatrix> Evaluator::eval_invariant(const Expr& expr, const Frame& frame) {
  const Frame once{frame.start, frame.start, frame.step};
  TRY_EVAL(EvalMatrix out, eval(expr, once));
  const ValueType type = type_of(expr);
  if (type == ValueType::matrix || type == ValueType::string)
    return out; // their times do not depend on the step
  for (EvalSeries& series : out) {
    TRY_EVAL([[maybe_unused]] bool fits, charge(frame.steps() - 1));
    for (std::int64_t t = frame.start + frame.step; t <= frame.end; t += frame.step) {
      if (!series.floats.empty()) {
        series.floats.push_back({t, series.floats.front().value, 0});
      } else {
        series.histograms.push_back({t, series.histograms.front().value, 0});
      }
    }
  }
  return out;
}

EvalMatrix Evaluator::constant(double value, const Frame& frame) const {
  EvalSeries series{.labels = empty_labels()};
  series.floats.reserve(frame.steps());
  for (std::int64_t t = frame.start; t <= frame.end; t += frame.step)
    series.floats.push_back({t, value, 0});
  EvalMatrix out;
  out.push_back(std::move(series));
  return out;
}

Eval<EvalMatrix> Evaluator::eval_unary(const UnaryExpr& node, const Frame& frame) {
  TRY_EVAL(EvalMatrix out, eval(*node.inner, frame));
  if (node.op == Tok::add) return out;
  for (EvalSeries& series : out) {
    series.labels = dropped(series.labels);
    series.drop_name = true;
    for (Sample& sample : series.floats) sample.value = -sample.value;
    for (HistogramSample& sample : series.histograms) {
      sample.value = std::make_shared<const NativeHistogram>(scaled(*sample.value, -1));
    }
  }
  if (delayed()) return out;
  return merge_same_labels(std::move(out));
}

Evaluator::Found Evaluator::newest(const EvalSeries& source, std::int64_t at, Lookup& place) const {
  while (place.floats < source.floats.size() && source.floats[place.floats].time_ms <= at)
    ++place.floats;
  while (place.histograms < source.histograms.size() &&
         source.histograms[place.histograms].time_ms <= at)
    ++place.histograms;
  const Sample* value = place.floats > 0 ? &source.floats[place.floats - 1] : nullptr;
  const HistogramSample* histogram =
      place.histograms > 0 ? &source.histograms[place.histograms - 1] : nullptr;
  if (value != nullptr && histogram != nullptr) {
    if (value->time_ms >= histogram->time_ms) {
      histogram = nullptr;
    } else {
      value = nullptr;
    }
  }
  const std::int64_t oldest = at - options_.lookback_ms;
  if (value != nullptr && value->time_ms > oldest && !is_stale(value->value))
    return {value, nullptr};
  if (histogram != nullptr && histogram->time_ms > oldest && !is_stale(histogram->value->sum))
    return {nullptr, histogram};
  return {};
}

Eval<EvalMatrix> Evaluator::eval_selector(const VectorSelector& node, const Frame& frame) {
  if (node.smoothed) return eval_smoothed(node, frame);
  EvalMatrix out;
  for (const EvalSeries& source : fetched_[&node]) {
    EvalSeries series{.labels = source.labels};
    Lookup place;
    for (std::int64_t t = frame.start; t <= frame.end; t += frame.step) {
      if (look_due()) {
        TRY_EVAL([[maybe_unused]] bool in_time, check_deadline());
      }
      const Found found = newest(source, reference(node.shift, t), place);
      if (found.value != nullptr) series.floats.push_back({t, found.value->value, 0});
      if (found.histogram != nullptr) series.histograms.push_back({t, found.histogram->value, 0});
    }
    TRY_EVAL([[maybe_unused]] bool fits, charge(series.points()));
    if (series.points() > 0) out.push_back(std::move(series));
  }
  return out;
}

Eval<EvalMatrix> Evaluator::eval_sample_times(const VectorSelector& node, const Frame& frame,
                                              SampleTime which) {
  const bool starts = which == SampleTime::start;
  EvalMatrix out;
  for (const EvalSeries& source : fetched_[&node]) {
    EvalSeries series{.labels = source.labels};
    Lookup place;
    for (std::int64_t t = frame.start; t <= frame.end; t += frame.step) {
      if (look_due()) {
        TRY_EVAL([[maybe_unused]] bool in_time, check_deadline());
      }
      const Found found = newest(source, reference(node.shift, t), place);
      if (!found) continue;
      std::int64_t ms = 0;
      if (found.value != nullptr) ms = starts ? found.value->start_ms : found.value->time_ms;
      if (found.histogram != nullptr)
        ms = starts ? found.histogram->start_ms : found.histogram->time_ms;
      series.floats.push_back({t, static_cast<double>(ms) / 1000, 0});
    }
    TRY_EVAL([[maybe_unused]] bool fits, charge(series.points()));
    if (series.points() > 0) out.push_back(std::move(series));
  }
  return out;
}

// A bare range is allowed only as the whole of an instant query.
Eval<EvalMatrix> Evaluator::eval_matrix_selector(const MatrixSelector& node, const Frame& frame) {
  const VectorSelector& selector = *node.selector;
  const std::int64_t to = reference(selector.shift, frame.start);
  EvalMatrix out;
  for (const EvalSeries& source : fetched_[&selector]) {
    EvalSeries series{.labels = source.labels};
    if (selector.anchored || selector.smoothed) {
      if (!source.histograms.empty()) {
        return execution_error(fmt::format("{} modifier is not supported with histograms",
                                           selector.anchored ? "anchored" : "smoothed"));
      }
      const auto floats = window_of(source.floats, to - node.range_ms - options_.lookback_ms,
                                    to + (selector.smoothed ? options_.lookback_ms : 0));
      series.floats = extended_floats(floats, to - node.range_ms, to, selector.smoothed);
    } else {
      const auto floats = window_of(source.floats, to - node.range_ms, to);
      const auto histograms = window_of(source.histograms, to - node.range_ms, to);
      series.floats.assign(floats.begin(), floats.end());
      series.histograms.assign(histograms.begin(), histograms.end());
    }
    TRY_EVAL([[maybe_unused]] bool fits, charge(series.points()));
    if (series.points() > 0) out.push_back(std::move(series));
  }
  return out;
}

Eval<EvalMatrix> Evaluator::eval_subquery(const SubqueryExpr& node, const Frame& frame) {
  const std::int64_t step = node.step_ms != 0 ? node.step_ms : kDefaultSubqueryStepMs;
  const std::int64_t last_step = frame.start + (frame.end - frame.start) / frame.step * frame.step;
  const std::int64_t before = reference(node.shift, frame.start) - node.range_ms; // exclusive
  Frame inner;
  inner.step = step;
  inner.start = step * (before / step);
  if (inner.start <= before) inner.start += step;
  inner.end = reference(node.shift, last_step);
  return eval(*node.inner, inner);
}

} // namespace coalmine::promql
