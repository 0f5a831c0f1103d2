// Functions of one float: mathematics, clamping, rounding, and parts of a date.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace coalmine::promql {

// False: the element is dropped (clamp with min above max).
using ValueFunction = bool (*)(double value, std::span<const double> params, double& out);

// Null when there is no such function.
ValueFunction find_value_function(std::string_view name);
ValueFunction find_date_function(std::string_view name); // of Unix seconds, UTC

// As Go's math.Max and math.Min: NaN unless the other is the matching infinity.
double go_max(double a, double b);
double go_min(double a, double b);

} // namespace coalmine::promql
