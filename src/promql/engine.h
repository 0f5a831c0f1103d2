// The PromQL engine's front: text in, value out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/diagnostic.h"
#include "promql/queryable.h"

namespace coalmine {
class Executor;
}

namespace coalmine::promql {

struct Expr;

// Limits and switches of one evaluation.
struct EvalOptions {
  std::int64_t lookback_ms = 5 * 60 * 1000;
  std::size_t max_samples = 50'000'000;
  std::size_t max_series = 1'000'000; // that its selectors find, all together
  std::size_t max_bytes = 1U << 30;   // of samples and labels in memory, roughly
  std::function<bool()> canceled; // asked now and then, on the thread that evaluates; may be empty
  std::int64_t deadline_steady_ms = 0; // 0: none; checked against the clock given to the engine
  // Sums of rates are computed on whole histograms and columns of numbers (query/column_sums.h).
  // Off: series by series, which gives the same and is what the tests hold it against.
  bool column_plans = true;
  bool block_summaries =
      true; // a chunk within the window of an instant query is read as its first and last row
  // Range queries of sums of rates are cut into stretches of time, which these threads share with
  // the caller's; the answer is the same. Null: the caller's thread does it all.
  Executor* helpers = nullptr;
  std::size_t slices = 1; // at most
  bool delayed_name_removal = false;
  bool use_start_timestamps = false;
  bool experimental = false; // experimental functions, modifiers and aggregations
};

// One point of a result: exactly one of value and histogram counts.
struct Point {
  std::int64_t time_ms = 0;
  double value = 0;
  std::shared_ptr<const NativeHistogram> histogram; // null: a float
};
struct ResultSeries {
  Labels labels;
  std::vector<Point> points;
};
struct Scalar {
  std::int64_t time_ms = 0;
  double value = 0;
};
struct StringValue {
  std::int64_t time_ms = 0;
  std::string value;
};
struct Vector {
  std::vector<ResultSeries> series; // one point each
};
struct Matrix {
  std::vector<ResultSeries> series; // sorted by labels
};

struct QueryResult {
  std::variant<Scalar, StringValue, Vector, Matrix> value;
  std::vector<std::string> warnings;
  std::vector<std::string> infos;
};

// Why a query failed, in Prometheus's own classes (errorType of the HTTP API).
struct QueryError {
  enum class Kind {
    bad_data,
    execution,
    timeout,
    canceled,
    unavailable,
    unimplemented
  } kind = Kind::bad_data;
  std::string message;
  SourceSpan span; // where in the query, when known
};

template <typename T>
using QueryOutcome = std::expected<T, QueryError>;

// Evaluates one query at one moment. What the engine does not evaluate fails as unimplemented and
// names itself.
QueryOutcome<QueryResult> instant(const Queryable& data, std::string_view text,
                                  std::int64_t time_ms, const EvalOptions& options,
                                  const Clock& clock);
// start, end inclusive; step > 0; at most 11,000 steps.
QueryOutcome<QueryResult> range(const Queryable& data, std::string_view text, std::int64_t start_ms,
                                std::int64_t end_ms, std::int64_t step_ms,
                                const EvalOptions& options, const Clock& clock);

// The tree of an expression (query/ast.h), its types checked.
QueryOutcome<std::unique_ptr<Expr>> parse(std::string_view text, bool experimental = true);
// Parsed and printed again in canonical form (format_query).
QueryOutcome<std::string> format(std::string_view text, bool experimental = true);
// The matchers of a series selector (match[] parameters).
QueryOutcome<std::vector<Matcher>> parse_selector(std::string_view text);
// A Prometheus duration (5m, 1h30m) or a number of seconds, in milliseconds.
QueryOutcome<std::int64_t> parse_duration_ms(std::string_view text);
// RFC 3339 or Unix seconds with fraction, in milliseconds.
QueryOutcome<std::int64_t> parse_time_ms(std::string_view text);

} // namespace coalmine::promql
