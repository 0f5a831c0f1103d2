// Parses the answers of a Prometheus-compatible server. Pure; for untrusted input.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "promql/expressions.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

// The body of /api/v1/query: a matrix of raw samples, or of instants. Native histograms come
// without their schema; it is found out from the bounds of their buckets.
Result<std::vector<promql::Series>> parse_matrix(std::string_view body);
Result<std::vector<promql::ExpressionValue>> parse_instant(std::string_view body);
Result<std::vector<Labels>> parse_label_sets(std::string_view body); // /api/v1/series
// The body of /api/v1/labels or /api/v1/label/NAME/values.
Result<std::vector<std::string>> parse_strings(std::string_view body);
// The error message of an error answer; "" when the body has no such form.
std::string error_text(std::string_view body);

} // namespace coalmine::datasource
