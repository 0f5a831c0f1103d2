// Range queries cut into stretches of time that are evaluated side by side.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "base/executor.h"
#include "promql/eval/eval_types.h"
#include "promql/syntax/ast.h"

namespace coalmine::promql {

// Whether every step of the expression is computed by itself and is heavy enough: arithmetic,
// comparisons and histogram_quantile over sums of rates. What looks at several steps, orders or
// renames series is left whole.
bool sliceable(const Expr& expr);

// The steps of frame in at most `most` frames, in order, each of at least 30 steps.
std::vector<Frame> slices_of(const Frame& frame, std::size_t most);

// Puts the same series of several stretches together again, in the order given.
EvalMatrix joined(std::vector<EvalMatrix> parts);

// Runs task(0) to task(count - 1), some of them on helpers, and returns when all have ended. The
// caller's thread takes its part, and all of them when the helpers are busy.
void run_side_by_side(Executor& helpers, std::size_t count,
                      const std::function<void(std::size_t)>& task);

} // namespace coalmine::promql
