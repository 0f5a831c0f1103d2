// info(v, {matchers}): joins the labels of info series onto v.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "query/evaluator.h"

namespace coalmine::query {

class InfoEvaluator {
 public:
  InfoEvaluator(Evaluator& eval, const CallExpr& node, const Frame& frame) : eval_(eval), node_(node), frame_(frame) {}
  Eval<EvalMatrix> run();

 private:
  Evaluator& eval_;
  const CallExpr& node_;
  const Frame& frame_;
};

} // namespace coalmine::query
