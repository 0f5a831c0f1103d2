// Prepares a parsed tree for one evaluation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "promql/eval/eval_types.h"
#include "promql/syntax/ast.h"

namespace coalmine::promql {

// start(), end(), step() and range() become numbers, duration expressions and @ start()/end()
// become times, and parts that do not depend on the step are marked. step_ms is 0 for an instant
// query. The tree can then be used only for this frame. Shortcuts are the marks that save work and
// do not change answers.
enum class Shortcuts { on, off };
Eval<bool> prepare(ExprPtr& expr, std::int64_t start_ms, std::int64_t end_ms, std::int64_t step_ms,
                   Shortcuts shortcuts = Shortcuts::on);

} // namespace coalmine::promql
