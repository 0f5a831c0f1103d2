// Cuts range queries into stretches of time that are evaluated side by side.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "base/executor.h"
#include "promql/eval/eval_types.h"
#include "promql/syntax/ast.h"

namespace coalmine::promql {

// True if every step of the expression is computed independently and is costly enough: arithmetic,
// comparisons and histogram_quantile over sums of rates. Expressions that use several steps, or
// sort or rename series, are not cut.
bool sliceable(const Expr& expr);

// Cuts the steps of frame into at most `most` frames, in order, each of at least 30 steps.
std::vector<Frame> slices_of(const Frame& frame, std::size_t most);

// Joins the series of several stretches, in the order given.
EvalMatrix joined(std::vector<EvalMatrix> parts);

// Runs task(0) to task(count - 1), some of them on helpers, and returns when all have ended. The
// caller's thread takes part, and runs all tasks when the helpers are busy.
void run_side_by_side(Executor& helpers, std::size_t count,
                      const std::function<void(std::size_t)>& task);

} // namespace coalmine::promql
