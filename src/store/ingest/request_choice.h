// Which of the request metrics that an instance sends count its requests, and which time them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "store/ingest/derive.h"
#include "store/series/series_index.h"
#include "telemetry/request_metrics.h"

namespace coalmine::store {

// What is derived from one series.
struct RequestUse {
  bool counts = false; // requests and errors
  bool durations = false;
  bool tells_errors = false; // it has an HTTP status or an error type
  RequestMetric metric;      // when one of the first two is set
};

// Whether the labels are those of OpenTelemetry's semantic conventions.
bool follows_conventions(std::string_view otel_name);
// nullopt: not a part of a histogram.
std::optional<SentPart> histogram_part(const Labels& labels, const RequestMetric& metric);

// Several libraries in a process may each report the same requests. Invariant: of one instance, one
// metric counts the requests, one times them, and nothing is added up twice. A metric that says
// which requests failed is preferred to all that do not.
//
// Guarded by Locks::write.
class RequestChoices {
 public:
  // Takes note that the instance sends the series. True: another metric counts or times its
  // requests from now on.
  bool learn(const Labels& labels, const MetricDescription& metric, MetricKind kind);
  RequestUse use_of(const Labels& labels, const MetricDescription& metric, MetricKind kind) const;

  // Whether the instance goes over from one metric to another in the current append.
  bool is_switching(const std::string& instance) const;
  // The instances for which it did. Ends the append, after a write that succeeded / failed.
  std::set<std::string> commit();
  void forget();

  // Takes note of an export of what counts the instance's requests.
  void exported(const std::string& instance, std::int64_t time_ms);
  // When the export before the one at time_ms was; 0: this is the first, as far as is known. What
  // appears only after it has begun to count since.
  std::int64_t export_before(const std::string& instance, std::int64_t time_ms) const;

 private:
  static constexpr int kNone = 1000;
  static constexpr int kTellsNothing = 100; // added to the place
  struct Choice {
    int counts = kNone; // places: the lower, the better
    int durations = kNone;
    std::int64_t newest_ms = 0; // exports
    std::int64_t before_ms = 0;
  };
  struct Places {
    int counts = kNone; // were it to tell errors
    int durations = kNone;
    bool tells_errors = false;
    RequestMetric metric;
  };
  static Places places_of(const Labels& labels, const MetricDescription& metric, MetricKind kind);

  std::map<std::string, Choice> choices_; // by instance_key
  std::map<std::string, Choice> before_;  // of those that changed in the current append
};

} // namespace coalmine::store
