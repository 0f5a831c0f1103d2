// Aggregations: sum, avg, topk and so on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "promql/eval/evaluator.h"
#include "promql/eval/histogram_math.h"

namespace coalmine::promql {

// One aggregation over one frame.
class AggregateEvaluator {
 public:
  AggregateEvaluator(Evaluator& eval, const AggregateExpr& node, const Frame& frame)
      : eval_(eval), node_(node), frame_(frame) {}
  Eval<EvalMatrix> run();

 private:
  // The state of one group at one step.
  struct Group {
    bool seen = false;
    bool has_float = false;
    bool has_histogram = false;
    bool incompatible = false; // exponential and custom buckets were mixed
    bool drop_name = false;
    double count = 0;
    double value = 0;
    double mean = 0;
    double compensation = 0;
    bool incremental = false;
    std::vector<double> values;           // quantile
    std::vector<HistogramSum> histograms; // none or one
  };
  using Points = std::vector<VectorPoint>;

  bool is(Tok op) const { return node_.op == op; }
  bool selects() const {
    return is(Tok::topk) || is(Tok::bottomk) || is(Tok::limitk) || is(Tok::limit_ratio);
  }
  LabelsRef group_labels(const Labels& labels) const;
  void form_groups(const EvalMatrix& input);

  Eval<EvalMatrix> reduce(const EvalMatrix& input, const std::vector<double>& params);
  void accumulate(Group& group, const EvalSeries& series, const VectorPoint& point);
  void add_to_sum(Group& group, const EvalSeries& series, const VectorPoint& point);
  void add_to_mean(Group& group, double value) const;
  bool finish(Group& group, double param, VectorPoint& out);

  Eval<bool> check_params(const std::vector<double>& params, bool& nothing);
  Eval<EvalMatrix> select(const EvalMatrix& input, const std::vector<double>& params);
  std::vector<std::size_t> select_step(const EvalMatrix& input, const Points& points, double param);
  void best_of(const Points& points, std::vector<std::size_t>& members, std::size_t k) const;

  Eval<EvalMatrix> count_values();

  Evaluator& eval_;
  const AggregateExpr& node_;
  const Frame& frame_;
  std::vector<std::size_t> group_of_; // series -> group
  std::vector<LabelsRef> labels_;     // group -> its labels
};

} // namespace coalmine::promql
