// Signals that are PromQL expressions: the placeholders filled in, the answer as one number.
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

// What stands for the placeholders of an expression for one track at one look.
struct SignalScope {
  std::string service;        // $service
  std::string track;          // $track: canary, stable
  std::string version;        // $version; "" any
  std::int64_t window_ms = 0; // $window, as a PromQL duration
};

// $service, $track, $version and $window, with or without braces (${window}); $$ is a dollar sign.
// Values are put in as the inside of a string in double quotes, so that a name cannot end it.
// invalid_argument: another placeholder, or one that is not closed.
Result<std::string> expand_expression(std::string_view promql, const SignalScope& scope);

// One number for the track: none when the expression has no result or NaN (0/0 of an idle track is
// no data, not zero). invalid_argument: it gives several series, so which one is meant cannot be
// known.
Result<std::optional<double>> read_expression(const promql::ExpressionSource& source,
                                              std::string_view promql, const SignalScope& scope,
                                              std::int64_t time_ms);

} // namespace coalmine::cohort
