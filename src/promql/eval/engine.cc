// SPDX-License-Identifier: Apache-2.0
#include "promql/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "promql/engine_plain.h"
#include "promql/eval/evaluator.h"
#include "promql/eval/preprocess.h"
#include "promql/eval/range_slices.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/parser.h"
#include "promql/syntax/printer.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {
namespace {

constexpr std::int64_t kMaxSteps = 11'000;
constexpr std::size_t kMaxQueryBytes = 1 << 20;
constexpr std::size_t kMaxAnnotations = 10; // of each kind

ParseOptions parse_options(bool experimental) {
  return experimental ? ParseOptions::all() : ParseOptions{};
}

QueryOutcome<ExprPtr> parse_text(std::string_view text, bool experimental) {
  if (text.size() > kMaxQueryBytes) {
    return bad_data(fmt::format("the query is {} bytes long, at most {} are read; shorten it",
                                text.size(), kMaxQueryBytes));
  }
  auto parsed = parse_expression(text, parse_options(experimental));
  if (!parsed)
    return std::unexpected(
        QueryError{QueryError::Kind::bad_data, parsed.error().text(), parsed.error().span});
  return std::move(*parsed);
}

std::vector<ResultSeries> to_series(EvalMatrix matrix) {
  std::vector<ResultSeries> out;
  out.reserve(matrix.size());
  for (EvalSeries& series : matrix) {
    ResultSeries next{*series.labels, {}};
    next.points.reserve(series.points());
    for (const Sample& sample : series.floats)
      next.points.push_back({sample.time_ms, sample.value, nullptr});
    for (HistogramSample& sample : series.histograms)
      next.points.push_back({sample.time_ms, 0, std::move(sample.value)});
    if (!series.histograms.empty() && !series.floats.empty())
      std::ranges::stable_sort(next.points, {}, &Point::time_ms);
    out.push_back(std::move(next));
  }
  return out;
}

std::vector<ResultSeries> sorted_by_labels(std::vector<ResultSeries> series) {
  std::ranges::sort(series, {}, &ResultSeries::labels);
  return series;
}

// Adds the warnings and infos of the evaluation to a result.
QueryResult with_notes(QueryResult result, const Evaluator& evaluator, std::string_view text) {
  result.warnings = evaluator.annotations().warnings(text, kMaxAnnotations);
  result.infos = evaluator.annotations().infos(text, kMaxAnnotations);
  return result;
}

// Evaluates the stretches of frame side by side, each with its own evaluator. nullopt: one has
// failed or has notes. Then the whole must be evaluated at once, to get the one right error and all
// notes.
std::optional<EvalMatrix> run_sliced(const Queryable& data, const Expr& expr, const Frame& frame,
                                     const EvalOptions& options, const Clock& clock) {
  const auto slices = slices_of(frame, options.slices);
  if (slices.size() < 2) return std::nullopt;
  auto own = options;
  own.max_samples /= slices.size();
  own.max_bytes /= slices.size();
  std::vector<EvalMatrix> parts(slices.size());
  std::vector<char> failed(slices.size(), 0);
  run_side_by_side(*options.helpers, slices.size(), [&](std::size_t i) {
    Evaluator evaluator(data, own, clock);
    auto part = evaluator.run(expr, slices[i]);
    failed[i] = !part || !evaluator.annotations().empty();
    if (part) parts[i] = std::move(*part);
  });
  if (std::ranges::find(failed, 1) != failed.end()) return std::nullopt;
  return joined(std::move(parts));
}

QueryOutcome<QueryResult> range_with(const Queryable& data, std::string_view text,
                                     std::int64_t start_ms, std::int64_t end_ms,
                                     std::int64_t step_ms, const EvalOptions& options,
                                     const Clock& clock, Shortcuts shortcuts) {
  if (step_ms <= 0)
    return bad_data(
        "zero or negative query resolution step widths are not accepted. Try a positive integer");
  if (end_ms < start_ms) return bad_data("end timestamp must not be before start time");
  if ((end_ms - start_ms) / step_ms > kMaxSteps) {
    return bad_data(
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
        "resolution (?step=XX)");
  }
  TRY_EVAL(ExprPtr expr, parse_text(text, options.experimental));
  const ValueType type = type_of(*expr);
  if (type != ValueType::scalar && type != ValueType::vector) {
    return bad_data(fmt::format(
        "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
        documented_name(type)));
  }
  TRY_EVAL([[maybe_unused]] bool ready, prepare(expr, start_ms, end_ms, step_ms, shortcuts));
  const Frame frame{start_ms, end_ms, step_ms};
  QueryResult result;
  if (options.helpers != nullptr && options.column_plans && sliceable(*expr)) {
    if (auto matrix = run_sliced(data, *expr, frame, options, clock)) {
      result.value = Matrix{sorted_by_labels(to_series(std::move(*matrix)))};
      return result;
    }
  }
  Evaluator evaluator(data, options, clock);
  TRY_EVAL(EvalMatrix matrix, evaluator.run(*expr, frame));
  result.value = Matrix{sorted_by_labels(to_series(std::move(matrix)))};
  return with_notes(std::move(result), evaluator, text);
}

} // namespace

QueryOutcome<QueryResult> instant(const Queryable& data, std::string_view text,
                                  std::int64_t time_ms, const EvalOptions& options,
                                  const Clock& clock) {
  TRY_EVAL(ExprPtr expr, parse_text(text, options.experimental));
  TRY_EVAL([[maybe_unused]] bool ready, prepare(expr, time_ms, time_ms, 0));
  const ValueType type = type_of(*expr);
  QueryResult result;
  if (type == ValueType::string) {
    result.value =
        StringValue{time_ms, static_cast<const StringLiteral&>(unwrap_parens(*expr)).value};
    return result;
  }
  Evaluator evaluator(data, options, clock);
  TRY_EVAL(EvalMatrix matrix, evaluator.run(*expr, Frame{time_ms, time_ms, 1}));
  if (type == ValueType::scalar) {
    result.value = Scalar{time_ms, matrix.at(0).floats.at(0).value};
  } else if (type == ValueType::vector) {
    Vector vector{to_series(std::move(matrix))};
    for (ResultSeries& series : vector.series) series.points.front().time_ms = time_ms;
    result.value = std::move(vector);
  } else {
    result.value = Matrix{sorted_by_labels(to_series(std::move(matrix)))};
  }
  return with_notes(std::move(result), evaluator, text);
}

QueryOutcome<QueryResult> range(const Queryable& data, std::string_view text, std::int64_t start_ms,
                                std::int64_t end_ms, std::int64_t step_ms,
                                const EvalOptions& options, const Clock& clock) {
  return range_with(data, text, start_ms, end_ms, step_ms, options, clock, Shortcuts::on);
}

QueryOutcome<QueryResult> range_plain(const Queryable& data, std::string_view text,
                                      std::int64_t start_ms, std::int64_t end_ms,
                                      std::int64_t step_ms, const EvalOptions& options,
                                      const Clock& clock) {
  return range_with(data, text, start_ms, end_ms, step_ms, options, clock, Shortcuts::off);
}

QueryOutcome<std::unique_ptr<Expr>> parse(std::string_view text, bool experimental) {
  return parse_text(text, experimental);
}

QueryOutcome<std::string> format(std::string_view text, bool experimental) {
  TRY_EVAL(const ExprPtr expr, parse_text(text, experimental));
  return print(*expr);
}

QueryOutcome<std::vector<Matcher>> parse_selector(std::string_view text) {
  auto parsed = parse_metric_selector(text);
  if (!parsed)
    return std::unexpected(
        QueryError{QueryError::Kind::bad_data, parsed.error().text(), parsed.error().span});
  return for_storage(std::move(*parsed));
}

} // namespace coalmine::promql
