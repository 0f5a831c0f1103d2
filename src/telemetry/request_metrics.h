// The metrics in which services report the requests that they serve, by name. The one table of the
// names and labels that are known; docs/telemetry.md shows it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "telemetry/batch.h"

namespace coalmine {

// What one series says about requests.
struct RequestMetric {
  enum class Part : std::uint8_t {
    whole,  // a histogram
    count,  // a counter of requests; the _count of a histogram or summary
    bucket, // of a histogram that is sent in parts, with a label le
    sum,    // likewise
  };
  std::uint8_t rank =
      0; // of two metrics about the same requests, the one with the lower rank counts
  Part part = Part::whole;
  double to_ms = 0; // from the unit in the name to milliseconds; 0: the name has none
};

// name: of the series, in Prometheus's form. nullopt: nothing that is known.
std::optional<RequestMetric> find_request_metric(std::string_view name, MetricKind kind);

// Route, method and status as the attributes that the semantic conventions name, from labels that
// may be called otherwise (uri, handler, code, status …). A status class is its first code (5xx:
// 500). A status that is no HTTP status is left out.
Attributes request_attributes(const Labels& labels);

} // namespace coalmine
