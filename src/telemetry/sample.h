// One sample of a series, a series with its samples, and the names of the three request metrics.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "telemetry/batch.h"
#include "telemetry/histogram.h"
#include "telemetry/labels.h"

namespace coalmine {

// Where a request, error or duration series comes from. The sources of one instance are never added
// up: they count the same requests.
enum class Source : std::uint8_t {
  sent,      // as the application sent it; for the three request metrics: its explicit counters
  histogram, // derived from the HTTP server duration histogram
  spans,     // derived from server and consumer spans
};

// The three metrics that every service has; they are derived if the service does not send them. The
// duration is a classic histogram in milliseconds. Where it was measured more finely (exponential
// histograms, spans) an exponential histogram in seconds lies beside it, see telemetry/durations.h:
// the same requests, at their own resolution.
inline constexpr std::string_view kRequestsName = "http_server_request_total";
inline constexpr std::string_view kErrorsName = "http_server_request_errors_total";
inline constexpr std::string_view kDurationName = "http_server_request_duration";

struct FloatSample {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0; // of the cumulative count; 0: unknown
  double value = 0;          // stale_value() marks the end of the series
};
struct ClassicSample {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0;
  bool stale = false;
  ClassicHistogram value; // cumulative over time since start_ms
};
struct ExponentialSample {
  std::int64_t time_ms = 0;
  std::int64_t start_ms = 0;
  bool stale = false;
  ExponentialHistogram value;
};

// One series with its samples in a time range: ascending, at most one a millisecond. All sums and
// histograms are cumulative: delta points were added up when they were stored. Exactly one of the
// three vectors is used; kind says which.
struct SeriesData {
  SeriesId id;
  // __name__ is the base name, without _bucket, _sum or _count.
  std::shared_ptr<const Labels> labels;
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
  std::string unit;
  std::vector<FloatSample> floats;
  std::vector<ClassicSample> classic;
  std::vector<ExponentialSample> exponential;
};

} // namespace coalmine
