// SPDX-License-Identifier: Apache-2.0
#include "lab/promqltest/promql_test_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "promql/eval/almost_equal.h"
#include "promql/eval/histogram_math.h"
#include "promql/syntax/go_text.h"

namespace coalmine::lab {
namespace {

using Kind = TestExpectation::Kind;
constexpr double kTolerance = 1e-6;

bool close(double a, double b) { return promql::almost_equal(a, b, kTolerance); }

bool close(promql::NativeHistogram::Buckets a, promql::NativeHistogram::Buckets b) {
  return a.offset == b.offset &&
         std::ranges::equal(a.counts, b.counts, [](double x, double y) { return close(x, y); });
}

bool close(promql::NativeHistogram expected, promql::NativeHistogram actual, bool hint_matters) {
  compact(expected);
  compact(actual);
  return expected.schema == actual.schema && close(expected.count, actual.count) &&
         close(expected.sum, actual.sum) &&
         (!promql::uses_custom_buckets(expected) ||
          expected.custom_bounds == actual.custom_bounds) &&
         expected.zero_threshold == actual.zero_threshold &&
         close(expected.zero_count, actual.zero_count) &&
         close(expected.negative, actual.negative) && close(expected.positive, actual.positive) &&
         (!hint_matters || expected.hint == actual.hint);
}

std::string text_of(const TestPoint& point) {
  constexpr std::array<std::string_view, 4> kHints = {"unknown", "reset", "not_reset", "gauge"};
  if (point.histogram) {
    return fmt::format("{} schema {} zero {} hint {}", to_text(*point.histogram),
                       point.histogram->schema,
                       promql::format_general(point.histogram->zero_threshold),
                       kHints[static_cast<std::size_t>(point.histogram->hint)]);
  }
  return point.omitted ? "nothing" : promql::format_general(point.value);
}

std::string text_of(const promql::Point& point) {
  return text_of(TestPoint{false, point.value, point.histogram, false});
}

std::string compare(const TestPoint& expected, const promql::Point& actual) {
  const bool same =
      expected.histogram && actual.histogram
          ? close(*expected.histogram, *actual.histogram, expected.hint_given)
          : !expected.histogram && !actual.histogram && close(expected.value, actual.value);
  return same ? "" : fmt::format("expected {}, got {}", text_of(expected), text_of(actual));
}

const TestSeriesLine* find(const TestEval& eval, const Labels& labels, std::size_t& position) {
  for (std::size_t i = eval.expected.size(); i-- > 0;) { // if two are alike, the last counts
    if (eval.expected[i].labels != labels) continue;
    position = i;
    return &eval.expected[i];
  }
  return nullptr;
}

std::string check_all_seen(const TestEval& eval, const std::vector<promql::ResultSeries>& series) {
  for (const TestSeriesLine& expected : eval.expected) {
    const bool seen = std::ranges::any_of(
        series, [&](const promql::ResultSeries& s) { return s.labels == expected.labels; });
    if (!seen) return fmt::format("expected metric {} not found", expected.labels.to_string());
  }
  return "";
}

std::string check_vector(const TestEval& eval, const std::vector<promql::ResultSeries>& series) {
  if (eval.expected_scalar) return "expected a scalar, got a vector";
  for (std::size_t i = 0; i < series.size(); ++i) {
    const std::string name = series[i].labels.to_string();
    std::size_t position = 0;
    const TestSeriesLine* expected = find(eval, series[i].labels, position);
    if (expected == nullptr)
      return fmt::format("unexpected metric {} with {}", name, text_of(series[i].points[0]));
    if (eval.ordered() && position != i)
      return fmt::format("expected metric {} at position {}, got it at {}", name, position + 1,
                         i + 1);
    if (expected->points.empty()) return fmt::format("no value is given for {}", name);
    if (const std::string wrong = compare(expected->points[0], series[i].points[0]); !wrong.empty())
      return name + ": " + wrong;
  }
  return check_all_seen(eval, series);
}

std::string check_matrix(const TestEval& eval, const std::vector<promql::ResultSeries>& series) {
  if (eval.expected_scalar) return "expected a scalar, got a matrix";
  if (!std::ranges::is_sorted(series, {}, &promql::ResultSeries::labels))
    return "the matrix is not sorted by labels";
  for (const promql::ResultSeries& one : series) {
    const std::string name = one.labels.to_string();
    std::size_t position = 0;
    const TestSeriesLine* expected = find(eval, one.labels, position);
    if (expected == nullptr)
      return fmt::format("unexpected metric {} with {} points", name, one.points.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < expected->points.size(); ++i) {
      if (expected->points[i].omitted) continue;
      const std::int64_t t = eval.start_ms + static_cast<std::int64_t>(i) * eval.step_ms;
      if (t > eval.end_ms)
        return fmt::format("{}: more points are expected than the range has", name);
      if (at >= one.points.size())
        return fmt::format("{}: expected a point at {} ms: {}", name, t,
                           text_of(expected->points[i]));
      const promql::Point& actual = one.points[at++];
      if (actual.time_ms != t)
        return fmt::format("{}: expected a point at {} ms, got one at {} ms: {}", name, t,
                           actual.time_ms, text_of(actual));
      if (const std::string wrong = compare(expected->points[i], actual); !wrong.empty())
        return fmt::format("{} at {} ms: {}", name, t, wrong);
    }
    if (at < one.points.size())
      return fmt::format("{}: unexpected point at {} ms: {}", name, one.points[at].time_ms,
                         text_of(one.points[at]));
  }
  return check_all_seen(eval, series);
}

std::string check_kind(const TestEval& eval, Kind kind, Kind none,
                       const std::vector<std::string>& texts, std::string_view name) {
  if (eval.has(none) && !texts.empty()) return fmt::format("unexpected {}: {}", name, texts[0]);
  if (!eval.has(kind)) return "";
  const auto wanted = [&](const std::string& text) {
    return std::ranges::any_of(eval.expectations, [&](const TestExpectation& e) {
      return e.kind == kind && e.matches(text);
    });
  };
  for (const std::string& text : texts) {
    if (!wanted(text)) return fmt::format("unexpected {}: {}", name, text);
  }
  for (const TestExpectation& e : eval.expectations) {
    if (e.kind != kind ||
        std::ranges::any_of(texts, [&](const std::string& text) { return e.matches(text); }))
      continue;
    return fmt::format("expected {} {}, got {}", name,
                       promql::go_quote(e.by_message ? e.message : e.pattern),
                       texts.empty() ? "none" : texts[0]);
  }
  return "";
}

} // namespace

std::string check_result(const TestEval& eval, const promql::QueryResult& result) {
  if (const auto* scalar = std::get_if<promql::Scalar>(&result.value)) {
    if (!eval.expected_scalar)
      return fmt::format("expected a vector or matrix, got the scalar {}",
                         promql::format_general(scalar->value));
    if (close(*eval.expected_scalar, scalar->value)) return "";
    return fmt::format("expected scalar {}, got {}", promql::format_general(*eval.expected_scalar),
                       promql::format_general(scalar->value));
  }
  if (const auto* text = std::get_if<promql::StringValue>(&result.value)) {
    if (eval.expected_string == text->value) return "";
    return fmt::format("expected string {}, got {}",
                       promql::go_quote(eval.expected_string.value_or("")),
                       promql::go_quote(text->value));
  }
  if (const auto* vector = std::get_if<promql::Vector>(&result.value))
    return check_vector(eval, vector->series);
  return check_matrix(eval, std::get<promql::Matrix>(result.value).series);
}

std::string check_annotations(const TestEval& eval, const promql::QueryResult& result) {
  if (eval.old_warn && result.warnings.empty()) return "expected warnings, got none";
  if (eval.old_info && result.infos.empty()) return "expected info annotations, got none";
  std::string wrong = check_kind(eval, Kind::warn, Kind::no_warn, result.warnings, "warning");
  if (wrong.empty()) wrong = check_kind(eval, Kind::info, Kind::no_info, result.infos, "info");
  return wrong;
}

std::string check_failure(const TestEval& eval, const promql::QueryError& error) {
  for (const TestExpectation& e : eval.expectations) {
    if (e.kind == Kind::fail && !e.matches(error.message)) {
      return fmt::format("expected error {}, got {}",
                         promql::go_quote(e.by_message ? e.message : e.pattern), error.message);
    }
  }
  return "";
}

} // namespace coalmine::lab
