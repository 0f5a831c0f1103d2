// SPDX-License-Identifier: Apache-2.0
#include "promql/expressions.h"

#include <fmt/format.h>

#include <variant>

#include "promql/engine.h"

namespace coalmine::promql {
namespace {

// The deadline of an expression of a look. It is short because the next look comes soon.
constexpr std::int64_t kDeadlineMs = 10'000;
constexpr std::int64_t kRangeDeadlineMs = 120'000;

ErrorCode code_of(QueryError::Kind kind) {
  switch (kind) {
    case QueryError::Kind::bad_data:
    case QueryError::Kind::execution: return ErrorCode::invalid_argument;
    case QueryError::Kind::timeout: return ErrorCode::deadline_exceeded;
    case QueryError::Kind::canceled:
    case QueryError::Kind::unavailable: return ErrorCode::unavailable;
    case QueryError::Kind::unimplemented: return ErrorCode::unimplemented;
  }
  return ErrorCode::internal;
}

// Stateless; any thread.
class EngineExpressions final : public ExpressionSource {
 public:
  EngineExpressions(const Queryable& data, const Clock& clock) : data_(data), clock_(clock) {}

  Result<std::vector<ExpressionValue>> evaluate(const std::string& promql,
                                                std::int64_t time_ms) const override {
    EvalOptions options;
    options.deadline_steady_ms = clock_.steady_ms() + kDeadlineMs;
    const auto result = instant(data_, promql, time_ms, options, clock_);
    if (!result) return fail(code_of(result.error().kind), result.error().message);
    std::vector<ExpressionValue> out;
    if (const auto* scalar = std::get_if<Scalar>(&result->value)) {
      out.push_back({{}, scalar->value});
    } else if (const auto* vector = std::get_if<Vector>(&result->value)) {
      for (const auto& series : vector->series) {
        if (series.points.empty() || series.points.front().histogram) continue;
        out.push_back({series.labels, series.points.front().value});
      }
    } else {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format(
              "'{}' gives neither a number nor an instant vector; a signal needs one of them",
              promql));
    }
    return out;
  }

  Result<std::vector<Series>> evaluate_range(const std::string& promql, std::int64_t from_ms,
                                             std::int64_t to_ms,
                                             std::int64_t step_ms) const override {
    EvalOptions options;
    options.deadline_steady_ms = clock_.steady_ms() + kRangeDeadlineMs;
    const auto result = range(data_, promql, from_ms, to_ms, step_ms, options, clock_);
    if (!result) return fail(code_of(result.error().kind), result.error().message);
    std::vector<Series> out;
    if (const auto* matrix = std::get_if<Matrix>(&result->value)) {
      for (const auto& one : matrix->series) {
        auto& series =
            out.emplace_back(Series{.labels = one.labels, .floats = {}, .histograms = {}});
        for (const auto& point : one.points) {
          if (!point.histogram) series.floats.push_back({point.time_ms, point.value, 0});
        }
      }
    }
    return out;
  }

 private:
  const Queryable& data_;
  const Clock& clock_;
};

} // namespace

std::unique_ptr<ExpressionSource> make_engine_expression_source(const Queryable& data,
                                                                const Clock& clock) {
  return std::make_unique<EngineExpressions>(data, clock);
}

} // namespace coalmine::promql
