// Query results as Prometheus's HTTP API writes them (prometheus.io/docs "HTTP API", result formats).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "query/engine.h"

namespace coalmine::serve {

void append_json_text(std::string& out, std::string_view text);
// Seconds with at most three decimals.
void append_seconds(std::string& out, std::int64_t time_ms);
void append_labels(std::string& out, const Labels& labels);
// {"status":"success","data":{"resultType":…,"result":…},"warnings":[…],"infos":[…]}
std::string result_json(const query::QueryResult& result);
// {"status":"success","data": <data>}
std::string success_json(std::string_view data);
std::string error_json(std::string_view type, std::string_view message);

} // namespace coalmine::serve
