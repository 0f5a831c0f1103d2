// The parameters of Prometheus API requests, with Prometheus's wording of their errors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "promql/engine.h"
#include "serve/parameters.h"

namespace coalmine::serve {

// A value, or the sentence after "errorType":"bad_data".
template <typename T>
using Checked = std::expected<T, std::string>;

std::string invalid_parameter(std::string_view name, std::string_view why);

// Unix seconds or RFC 3339, as milliseconds; fallback when absent.
Checked<std::int64_t> time_of(const Parameters& parameters, std::string_view name,
                              std::int64_t fallback);
// The most entries an answer may have; 0: no limit.
Checked<std::size_t> limit_of(const Parameters& parameters);

// start, end and step of query_range.
struct RangeTimes {
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;
  std::int64_t step_ms = 0;
};
Checked<RangeTimes> range_times(const Parameters& parameters);

// timeout (never longer than the server's own) and lookback_delta.
Checked<promql::EvalOptions> eval_options(const Parameters& parameters, std::int64_t timeout_ms,
                                          const Clock& clock);

// One selection per match[], over start to end; all of them must say something about a label.
Checked<std::vector<promql::Selection>> selections(const Parameters& parameters);

// U__http_2e_method is http.method, as clients write label names in a path; any other text is
// itself.
std::string unescaped_label_name(std::string_view name);

} // namespace coalmine::serve
