// Evaluation without the shortcuts that must not change an answer; what the tests hold the engine
// against.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "promql/engine.h"

namespace coalmine::promql {

// As range(): every part is evaluated at every step, also what does not depend on it, and
// histograms keep their buckets even where only counts and sums are asked for.
QueryOutcome<QueryResult> range_plain(const Queryable& data, std::string_view text,
                                      std::int64_t start_ms, std::int64_t end_ms,
                                      std::int64_t step_ms, const EvalOptions& options,
                                      const Clock& clock);

} // namespace coalmine::promql
