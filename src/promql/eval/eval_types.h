// The types that the evaluator computes with: series of points, and the points of one step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "promql/engine.h"
#include "promql/queryable.h"
#include "telemetry/labels.h"
#include "telemetry/stale.h"

namespace coalmine::promql {

using LabelsRef = std::shared_ptr<const Labels>;
using HistogramRef = std::shared_ptr<const NativeHistogram>;

// Values of EvalSeries::drop_name.
inline constexpr bool kKeepName = false;
inline constexpr bool kDropName = true;

// A series between two nodes of the tree. Points ascend by time; a float and a histogram never
// share a time.
struct EvalSeries {
  LabelsRef labels;
  bool drop_name = false; // delayed name removal: the name is dropped at the end
  std::vector<Sample> floats = {};
  std::vector<HistogramSample> histograms = {};
  std::size_t points() const { return floats.size() + histograms.size(); }
};
using EvalMatrix = std::vector<EvalSeries>;

// The steps of an evaluation: start, start + step, … up to end.
struct Frame {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::int64_t step = 1; // > 0
  bool single() const { return start == end; }
  std::size_t steps() const {
    return end < start ? 0 : static_cast<std::size_t>((end - start) / step) + 1;
  }
};

// One series at one step.
struct VectorPoint {
  std::size_t series = 0; // index in its matrix
  double value = 0;
  HistogramRef histogram; // null: a float
};

template <typename T>
using Eval = std::expected<T, QueryError>;

inline std::unexpected<QueryError> execution_error(std::string message) {
  return std::unexpected(QueryError{QueryError::Kind::execution, std::move(message), {}});
}

// TRY_EVAL(auto x, expr): binds the value of an Eval or returns its error.
#define TRY_EVAL_INNER(tmp, decl, expr)             \
  auto tmp = (expr);                                \
  if (!tmp) {                                       \
    return std::unexpected(std::move(tmp).error()); \
  }                                                 \
  decl = std::move(*tmp)
#define TRY_EVAL(decl, expr) TRY_EVAL_INNER(COALMINE_CONCAT(try_eval_, __LINE__), decl, expr)

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Without __name__, __type__ and __unit__.
Labels without_name(const Labels& labels);
LabelsRef without_name(const LabelsRef& labels);
const LabelsRef& empty_labels();

// Walks matrices step by step. Requested times must ascend.
class StepCursor {
 public:
  explicit StepCursor(const EvalMatrix& matrix) : matrix_(&matrix), at_(matrix.size()) {}
  // Gets the point of series i at exactly this time, if it has one.
  bool get(std::size_t i, std::int64_t time_ms, VectorPoint& out);
  // All points at this time.
  void gather(std::int64_t time_ms, std::vector<VectorPoint>& out);

 private:
  struct Place {
    std::size_t floats = 0;
    std::size_t histograms = 0;
  };
  const EvalMatrix* matrix_;
  std::vector<Place> at_;
};

// Collects the series of a result in the order they first appear.
class MatrixBuilder {
 public:
  // The slot of the series with these labels, which is made if it is new. drop_name as in
  // EvalSeries.
  std::size_t slot(const LabelsRef& labels, bool drop_name);
  // False when the series already has a point at this time.
  bool add(std::size_t slot, std::int64_t time_ms, double value, HistogramRef histogram);
  EvalMatrix take() { return std::move(out_); }
  std::size_t points() const { return points_; }

 private:
  struct ByContent {
    std::size_t operator()(const LabelsRef& l) const { return static_cast<std::size_t>(l->hash()); }
    bool operator()(const LabelsRef& a, const LabelsRef& b) const { return a == b || *a == *b; }
  };
  EvalMatrix out_;
  std::unordered_map<LabelsRef, std::size_t, ByContent, ByContent> index_;
  std::size_t points_ = 0;
};

inline constexpr std::string_view kSameLabels =
    "vector cannot contain metrics with the same labelset";

// Joins series that have the same labels; an error when two of them have a point at the same time.
Eval<EvalMatrix> merge_same_labels(EvalMatrix matrix);

} // namespace coalmine::promql
