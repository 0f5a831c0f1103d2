// Query results as Prometheus's HTTP API writes them:
//   point     = [ seconds , "value" ] | [ seconds , histogram ]
//   seconds   = digits [ "." 3 digits ]
//   histogram = {"count":"…","sum":"…","buckets":[[rule,"lower","upper","count"]…]}
//               empty buckets are left out
//   rule      = 0 (lower,upper] | 1 [lower,upper) | 2 (lower,upper) | 3 [lower,upper]
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_string.h"
#include "base/result.h"
#include "promql/engine.h"

namespace coalmine::serve {

using Notes = std::vector<std::string>;

// A number inside quotes, as Go's strconv writes it: shortest, with an exponent below 1e-6 and from
// 1e21.
void append_value(std::string& out, double value);
void append_seconds(std::string& out, std::int64_t time_ms);
void append_labels(std::string& out, const Labels& labels);
// {"status":"success","data":{"resultType":…,"result":…},"warnings":[…],"infos":[…]}.
// resource_exhausted above max_bytes.
Result<std::string> result_json(const promql::QueryResult& result, std::size_t max_bytes);
// {"status":"success","data": <data>, "warnings": …}
std::string success_json(std::string_view data, const Notes& warnings = {});
std::string error_json(std::string_view type, std::string_view message);

} // namespace coalmine::serve
