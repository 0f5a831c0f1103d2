// Walks a checked tree over a frame of steps.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "promql/eval/annotations.h"
#include "promql/eval/eval_types.h"
#include "promql/eval/range_functions.h"
#include "promql/syntax/ast.h"

namespace coalmine::promql {

inline constexpr std::int64_t kDefaultSubqueryStepMs = 60'000;

// One evaluation on one thread. The tree, the data and the options outlive it. Expressions must
// have passed prepare() (preprocess.h).
class Evaluator {
 public:
  Evaluator(const Queryable& data, const EvalOptions& options, const Clock& clock)
      : data_(data), options_(options), clock_(clock) {}

  // Fetches every selector once for all steps, evaluates, and finally drops the names marked for
  // removal.
  Eval<EvalMatrix> run(const Expr& expr, const Frame& frame);
  const Annotations& annotations() const { return notes_; }

 private:
  friend class CallEvaluator;
  friend class BinaryEvaluator;
  friend class AggregateEvaluator;
  friend class HistogramFunctions;
  friend class InfoEvaluator;
  friend class ColumnSums;

  enum class SelectorKind { instant, range };
  Eval<bool> fetch(const Expr& expr, std::int64_t from, std::int64_t to);
  Eval<bool> fetch_selector(const VectorSelector& node, std::int64_t from, std::int64_t to,
                            std::int64_t range_ms, SelectorKind kind);

  Selection selection_of(const VectorSelector& node, std::int64_t from, std::int64_t to,
                         std::int64_t range_ms, SelectorKind kind);
  // True when the sum will be computed on columns. Its selector is not fetched then.
  Eval<bool> plan_columns(const AggregateExpr& node, std::int64_t from, std::int64_t to);
  // Fetches the selector of a sum whose plan on columns failed.
  Eval<bool> fetch_planned(const AggregateExpr& node);
  // cap: what set the limit that the data source may have reached.
  enum class Cap { samples, memory };
  QueryError select_error(const Error& error, Cap cap);

  Eval<EvalMatrix> eval(const Expr& expr, const Frame& frame);
  Eval<EvalMatrix> eval_node(const Expr& expr, const Frame& frame);
  Eval<EvalMatrix> eval_invariant(const Expr& expr, const Frame& frame);
  Eval<EvalMatrix> eval_unary(const UnaryExpr& node, const Frame& frame);
  Eval<EvalMatrix> eval_selector(const VectorSelector& node, const Frame& frame);
  Eval<EvalMatrix> eval_smoothed(const VectorSelector& node, const Frame& frame);
  // The times of the samples a selector finds, in seconds.
  enum class SampleTime { own, start };
  Eval<EvalMatrix> eval_sample_times(const VectorSelector& node, const Frame& frame,
                                     SampleTime which);
  Eval<EvalMatrix> eval_matrix_selector(const MatrixSelector& node, const Frame& frame);
  Eval<EvalMatrix> eval_subquery(const SubqueryExpr& node, const Frame& frame);
  EvalMatrix constant(double value, const Frame& frame) const;

  // Finds a sample of one series by moving forward: the newest sample in (at - lookback, at],
  // unless it is a staleness marker. Times must ascend.
  struct Lookup {
    std::size_t floats = 0;
    std::size_t histograms = 0;
  };
  struct Found {
    const Sample* value = nullptr;
    const HistogramSample* histogram = nullptr;
    explicit operator bool() const { return value != nullptr || histogram != nullptr; }
  };
  Found newest(const EvalSeries& source, std::int64_t at, Lookup& place) const;

  // The data time of a step: the step or the @ time, minus the offset.
  static std::int64_t reference(const TimeShift& shift, std::int64_t step) {
    return shift.at_ms.value_or(step) - shift.offset_ms;
  }
  bool delayed() const { return options_.delayed_name_removal; }
  // The labels after a function that drops the name. With delayed removal the name is kept until
  // the end.
  LabelsRef dropped(const LabelsRef& labels) const {
    return delayed() ? labels : without_name(labels);
  }

  // Counts samples in memory against the limit, and checks the clock from time to time.
  Eval<bool> charge(std::size_t samples);
  // Counts the samples fetched by a selector against the limits of series and memory. They stay in
  // memory until the end.
  Eval<bool> charge_fetched(const EvalMatrix& series);
  Eval<bool> within_memory() const;
  Eval<bool> check_deadline();
  // Called at every step of every series. True when it is time to check the clock again. work: 1,
  // or more for costly steps.
  bool look_due(std::size_t work = 1) {
    ticks_ += work;
    if (ticks_ < kWorkBetweenLooks) return false;
    ticks_ = 0;
    return true;
  }
  static constexpr std::size_t kWorkBetweenLooks = 1 << 14;

  const Queryable& data_;
  const EvalOptions& options_;
  const Clock& clock_;
  Annotations notes_;
  std::unordered_map<const VectorSelector*, EvalMatrix> fetched_;
  struct Planned {
    std::unique_ptr<ColumnSource> source;
    std::size_t max_samples = 0; // the limit of samples to read
    std::int64_t from = 0;       // the steps at which it is evaluated
    std::int64_t to = 0;
  };
  std::unordered_map<const AggregateExpr*, Planned> planned_;
  std::size_t samples_ = 0;
  std::size_t fetched_series_ = 0;
  std::size_t fetched_bytes_ = 0;
  std::size_t ticks_ = 0;
};

std::size_t count_points(const EvalMatrix& matrix);

} // namespace coalmine::promql
