// histogram_quantile, histogram_fraction and the other functions of histograms, classic and native.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "promql/eval/evaluator.h"

namespace coalmine::promql {

bool is_histogram_function(std::string_view name);

// One bucket of a classic histogram: observations at or below the bound.
struct ClassicBucket {
  double upper = 0;
  double count = 0;
};

// The changes made to get monotonic counts.
struct Forced {
  bool any = false;
  double min_bucket = 0;
  double max_bucket = 0;
  double max_diff = 0;
};
// Sorts and repairs the buckets in place.
double bucket_quantile(double q, std::vector<ClassicBucket>& buckets, Forced& forced);
double bucket_fraction(double lower, double upper, std::vector<ClassicBucket>& buckets);

// One call over one frame.
class HistogramFunctions {
 public:
  HistogramFunctions(Evaluator& eval, const CallExpr& node, const Frame& frame)
      : eval_(eval), node_(node), frame_(frame) {}
  Eval<EvalMatrix> run();

 private:
  // A classic histogram, or a native series, of the input.
  struct Group {
    LabelsRef labels; // with the name, without le
    bool native = false;
    std::vector<ClassicBucket> buckets = {}; // at the current step
    HistogramRef histogram = nullptr;        // likewise
    bool conflict = false;                   // classic and native at once
    // Made monotonic. Noted once, even for several quantiles.
    bool repaired = false;
  };
  // The question of one call to each histogram.
  struct Question {
    bool fraction = false;
    double a = 0;      // q, or the lower end
    double b = 0;      // the upper end
    std::string label; // histogram_quantiles: the label's value
  };

  const Expr& arg(std::size_t i) const { return unwrap_parens(*node_.args[i]); }
  bool is(std::string_view name) const { return node_.function->name == name; }
  Eval<EvalMatrix> plain(double (*function)(const NativeHistogram&));
  Eval<EvalMatrix> distribution(std::size_t vector_arg);
  void group_series(const EvalMatrix& input);
  void fill_groups(const EvalMatrix& input, const std::vector<VectorPoint>& points,
                   std::size_t pos);
  double answer(Group& group, const Question& question, std::int64_t time_ms, std::size_t pos);
  Eval<std::vector<EvalMatrix>> scalar_args();
  std::vector<Question> questions(const std::vector<EvalMatrix>& scalars, std::size_t step);

  Evaluator& eval_;
  const CallExpr& node_;
  const Frame& frame_;
  std::vector<Group> groups_;
  std::vector<std::size_t> classic_of_; // input series -> group of its floats
  std::vector<std::size_t> native_of_;  // input series -> group of its histograms
  // Native and classic groups of the same labels.
  std::vector<std::pair<std::size_t, std::size_t>> namesakes_;
  std::vector<double> bound_of_; // input series -> le
  std::vector<bool> bad_bound_;
};

} // namespace coalmine::promql
