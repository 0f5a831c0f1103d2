// Signals that are PromQL expressions: fills in the placeholders and reads the answer as one
// number.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cohort/cohorts.h"
#include "promql/expressions.h"

namespace coalmine::cohort {

// The values of an expression's placeholders for one track at one look.
struct SignalScope {
  std::string service;        // $service
  std::string track;          // $track: canary, stable
  std::string version;        // $version; "" any
  std::int64_t window_ms = 0; // $window, as a PromQL duration
};

// $service, $track, $version and $window, with or without braces (${window}); $$ is a dollar sign.
// Values are escaped for a string in double quotes, so that a name cannot end the string.
// invalid_argument: another placeholder, or one that is not closed.
Result<std::string> expand_expression(std::string_view promql, const SignalScope& scope);

// One number for the track. None when the expression has no result or NaN (0/0 of an idle track
// means no data, not zero). invalid_argument: the expression gives several series, so it is
// ambiguous.
Result<std::optional<double>> read_expression(const promql::ExpressionSource& source,
                                              std::string_view promql, const SignalScope& scope,
                                              std::int64_t time_ms);

} // namespace coalmine::cohort
