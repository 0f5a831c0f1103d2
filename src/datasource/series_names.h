// What Prometheus-like sources call the counted metrics and their labels: the dialects that
// libraries, collectors and stores write.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/labels.h"

namespace coalmine::datasource {

// Names of metrics, the best first. An instance is counted by the first name it has, because an
// application may report the same requests under several. A name with dots stands for itself and
// for the same name with underscores: stores that keep UTF-8 names have the first, all others the
// second.
struct SeriesNames {
  // Counters of the application's own.
  std::vector<std::string> requests = {"http.server.request_total", "http.server.request",
                                       "http_requests_total"};
  std::vector<std::string> errors = {"http.server.request.errors_total",
                                     "http.server.request.errors"};
  // Histograms, classic or native, without _bucket. The unit follows from the suffix: _seconds,
  // _milliseconds or, without one, from the bounds.
  std::vector<std::string> durations = {
      "http.server.request.duration",         // semantic conventions
      "http.server.request.duration_seconds", //
      "http.server.request.duration_milliseconds",
      "http.server.requests_seconds", // Micrometer
      "http.server.requests_milliseconds",
      "http.server.requests",
      "http_request_duration_seconds",     // Prometheus's own example
      "http.server.duration_milliseconds", // semantic conventions before 1.20
      "http.server.duration",
  };
  // What collectors count from spans; used where an instance has nothing better. Only server spans.
  std::vector<std::string> span_requests = {"traces.span.metrics.calls_total",
                                            "traces.span.metrics.calls",
                                            "traces_spanmetrics_calls_total", "calls_total"};
  std::vector<std::string> span_durations = {"traces.span.metrics.duration_milliseconds",
                                             "traces.span.metrics.duration_seconds",
                                             "traces.span.metrics.duration",
                                             "traces_spanmetrics_latency",
                                             "duration_milliseconds",
                                             "duration_seconds"};

  // Names of labels, with underscores; a source that has them with dots is understood as well.
  std::string service_label = "service_name"; // job, app …
  // The first of these that a series has is used.
  std::vector<std::string> instance_labels = {"instance", "service_instance_id", "k8s_pod_name",
                                              "pod"};
  std::vector<std::string> route_labels = {"http_route", "route", "handler", "uri"};
  // If there is no errors counter, requests with a 5xx status are errors.
  std::vector<std::string> status_labels = {"http_response_status_code", "http_status_code",
                                            "status_code", "code", "status"};
  // They tell apart servers that collected the same series, not series of the application.
  std::vector<std::string> replica_labels = {"replica", "prometheus_replica", "__replica__",
                                             "receive_replica", "rule_replica"};
};

// The names for a ratio of two counters (conversions of checkouts). The total is counted as
// requests and the part as errors. The cells of such a feed are ordinary cells. The judge knows
// whether a large or a small part is good.
SeriesNames ratio_names(std::string total, std::string part, SeriesNames labels = {});

// The name as it is compared: every character that Prometheus did not allow before UTF-8 names
// becomes '_'.
std::string plain_name(std::string_view name);
// The labels with plain names. A label that exists under both spellings keeps the plain one.
Labels with_plain_names(const Labels& labels);

// A regular expression that matches every spelling of every counted metric, with the suffixes of
// histograms. It is a plain list of alternatives, which stores look up one by one.
std::string metric_pattern(const SeriesNames& names);

// What a metric's name says about its series.
struct CountedName {
  enum class Family { requests, errors, duration, span_requests, span_duration };
  enum class Part {
    whole,
    bucket,
    count,
    sum
  }; // of a histogram; whole: a counter, or a native one
  Family family = Family::requests;
  Part part = Part::whole;
  std::size_t rank = 0; // in the family's list
  std::string base;     // plain, without the suffix of the part
};
// plain: from plain_name(). nullopt: not counted.
std::optional<CountedName> counted_name(std::string_view plain, const SeriesNames& names);

} // namespace coalmine::datasource
