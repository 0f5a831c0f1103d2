// Function calls.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "promql/eval/evaluator.h"

namespace coalmine::promql {

// One call over one frame.
class CallEvaluator {
 public:
  CallEvaluator(Evaluator& eval, const CallExpr& node, const Frame& frame)
      : eval_(eval), node_(node), frame_(frame) {}
  Eval<EvalMatrix> run();

 private:
  using ByValue = bool (*)(double value, std::span<const double> params, double& out);

  const Expr& arg(std::size_t i) const { return unwrap_parens(*node_.args[i]); }
  std::string_view text_arg(std::size_t i) const {
    return static_cast<const StringLiteral&>(arg(i)).value;
  }
  bool is(std::string_view name) const { return node_.function->name == name; }
  Eval<EvalMatrix> eval_arg(std::size_t i) { return eval_.eval(arg(i), frame_); }
  // Evaluated scalar arguments; at(step) reads one.
  struct Scalars {
    std::vector<EvalMatrix> columns;
    std::vector<double> row; // filled by at()
    std::span<const double> at(std::size_t step);
  };
  Eval<bool> add_scalar(Scalars& out, std::size_t arg_index);

  // Functions of one range.
  Eval<EvalMatrix> over_range(std::size_t range_arg, RangeFunction function);
  Eval<bool> check_extended(const VectorSelector& selector) const;
  Eval<EvalSeries> range_series(const EvalSeries& source, RangeFunction function, Scalars& scalars,
                                std::int64_t range_ms, const TimeShift& shift,
                                std::size_t range_arg, const VectorSelector* selector);
  std::size_t place(std::size_t range_arg, bool subquery) const;
  Eval<EvalMatrix> absent_over_time(EvalMatrix present, std::size_t range_arg);

  // Functions of one value.
  Eval<EvalMatrix> by_value(ByValue function, std::size_t vector_arg);
  Eval<EvalMatrix> date(ByValue function);
  Eval<EvalMatrix> sample_times();

  // Functions of a whole vector.
  Eval<EvalMatrix> absent();
  Eval<EvalMatrix> to_scalar();
  Eval<EvalMatrix> to_vector();
  Eval<EvalMatrix> pick_scalar();
  Eval<EvalMatrix> sorted();
  Eval<EvalMatrix> label_replace();
  Eval<EvalMatrix> label_join();
  Eval<EvalMatrix> relabeled(std::string_view label,
                             const std::function<bool(const Labels&, std::string&)>& value);

  Evaluator& eval_;
  const CallExpr& node_;
  const Frame& frame_;
};

// Adds a note when rate or increase is used on a metric without a counter's name.
void note_non_counter(Annotations& notes, std::string_view function, std::string_view metric,
                      std::size_t pos);

// Clears the reset hints of histograms from a subquery, because it is no longer known whether one
// follows another without a reset.
void forget_reset_hints(EvalMatrix& matrix);

} // namespace coalmine::promql
