// The front header of the PromQL engine: evaluates query text to a value.
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
  std::size_t max_series = 1'000'000; // found by all selectors together
  std::size_t max_bytes = 1U << 30;   // of samples and labels in memory, roughly
  // Called from time to time on the evaluating thread; true cancels the query. May be empty.
  std::function<bool()> canceled;
  std::int64_t deadline_steady_ms = 0; // 0: none; checked against the clock given to the engine
  // Computes sums of rates on whole histograms and columns of numbers (eval/column_sums.h). Off:
  // series by series, which gives the same result and is the reference of the tests.
  bool column_plans = true;
  // Reads a chunk within the window of an instant query as its first and last row.
  bool block_summaries = true;
  // Range queries of sums of rates are cut into stretches of time. These threads and the caller's
  // evaluate them; the answer is the same. Null: only the caller's thread.
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

// The reason why a query failed, in Prometheus's classes (errorType of the HTTP API).
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

inline std::unexpected<QueryError> bad_data(std::string message) {
  return std::unexpected(QueryError{QueryError::Kind::bad_data, std::move(message), {}});
}

template <typename T>
using QueryOutcome = std::expected<T, QueryError>;

// Evaluates one query at one moment. Unsupported features fail as unimplemented, and the message
// names them.
QueryOutcome<QueryResult> instant(const Queryable& data, std::string_view text,
                                  std::int64_t time_ms, const EvalOptions& options,
                                  const Clock& clock);
// Evaluates one query over a range. start and end are inclusive; step > 0; at most 11,000 steps.
QueryOutcome<QueryResult> range(const Queryable& data, std::string_view text, std::int64_t start_ms,
                                std::int64_t end_ms, std::int64_t step_ms,
                                const EvalOptions& options, const Clock& clock);

// The type-checked tree of an expression (syntax/ast.h).
QueryOutcome<std::unique_ptr<Expr>> parse(std::string_view text, bool experimental = true);
// Parses a query and prints it in canonical form (format_query).
QueryOutcome<std::string> format(std::string_view text, bool experimental = true);
// The matchers of a series selector (match[] parameters).
QueryOutcome<std::vector<Matcher>> parse_selector(std::string_view text);
// A Prometheus duration (5m, 1h30m) or a number of seconds, in milliseconds.
QueryOutcome<std::int64_t> parse_duration_ms(std::string_view text);
// RFC 3339 or Unix seconds with fraction, in milliseconds.
QueryOutcome<std::int64_t> parse_time_ms(std::string_view text);

} // namespace coalmine::promql
