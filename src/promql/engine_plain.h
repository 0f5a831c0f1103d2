// Evaluation without shortcuts. Shortcuts must not change an answer, so the tests compare the
// engine with this.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "promql/engine.h"

namespace coalmine::promql {

// Like range(), but every part is evaluated at every step, even if it does not depend on the step.
// Histograms keep their buckets even where only counts and sums are used.
QueryOutcome<QueryResult> range_plain(const Queryable& data, std::string_view text,
                                      std::int64_t start_ms, std::int64_t end_ms,
                                      std::int64_t step_ms, const EvalOptions& options,
                                      const Clock& clock);

} // namespace coalmine::promql
