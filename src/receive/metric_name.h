// OpenTelemetry metric names to Prometheus names, strategy "UnderscoreEscapingWithSuffixes" of the
// OpenTelemetry specification "Prometheus and OpenMetrics compatibility". Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace coalmine::receive {

// The instrument decides the suffix: only a counter ends in _total, only a gauge of unit "1" in
// _ratio.
enum class Instrument { counter, up_down_counter, gauge, histogram, exponential, summary };

// http.server.request.duration, s, histogram -> http_server_request_duration_seconds. Never
// _bucket, _sum or _count. "" when the name holds no letter or digit.
std::string metric_name(std::string_view otel_name, std::string_view unit, Instrument instrument);

} // namespace coalmine::receive
