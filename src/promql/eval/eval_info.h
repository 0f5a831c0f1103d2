// info(v, {matchers}): adds the labels of info series (target_info and the like) to series of the
// same job and instance.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "promql/eval/evaluator.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::promql {

// One call over one frame.
class InfoEvaluator {
 public:
  InfoEvaluator(Evaluator& eval, const CallExpr& node, const Frame& frame)
      : eval_(eval), node_(node), frame_(frame) {}
  Eval<EvalMatrix> run();

 private:
  // An info series at the steps; the value of a point is its sample's time in ms.
  struct InfoPoint {
    const EvalSeries* series = nullptr;
    double time = 0;
  };
  using InfoByKey = std::map<Labels, InfoPoint>; // by name, job and instance

  void read_matchers();
  // The time shift of the first selector in v: info series are read at the same moment.
  static const VectorSelector* first_selector(const Expr& expr,
                                              std::vector<const SubqueryExpr*>& path);
  TimeShift shift_of_base() const;
  Eval<EvalMatrix> fetch(const EvalMatrix& base, const std::vector<bool>& is_info);
  Eval<bool> newest_at(const EvalMatrix& info, StepCursor& cursor, std::int64_t time_ms,
                       InfoByKey& out) const;
  // The labels to add; nullopt when the series is to be left out.
  Eval<std::optional<LabelsRef>> enriched(const Labels& base, const InfoByKey& info) const;

  Evaluator& eval_;
  const CallExpr& node_;
  const Frame& frame_;
  std::vector<Matcher> names_; // which metrics are info metrics
  std::vector<Matcher> data_;  // which of their labels are wanted
  std::vector<std::string> info_names_;
};

} // namespace coalmine::promql
