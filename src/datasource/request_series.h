// The series of a Prometheus-like source as the three request families that every judge counts.
// Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cohort/cohort_sums.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

// How the source names what we count. The defaults fit OpenTelemetry metrics written by
// Prometheus's own translation with resource attributes promoted (service.name -> service_name),
// the names of this program, and the semantic conventions.
struct SeriesNames {
  std::string requests = "http_server_request_total";
  std::string errors = "http_server_request_errors_total";
  // A classic histogram, without _bucket; the unit follows from the suffix: _seconds, _milliseconds
  // or, without one, from its bounds.
  std::vector<std::string> durations = {"http_server_request_duration",
                                        "http_server_request_duration_seconds",
                                        "http_server_request_duration_milliseconds"};
  std::string service_label = "service_name"; // job, app …
  std::vector<std::string> instance_labels = {"instance", "service_instance_id", "k8s_pod_name",
                                              "pod"}; // the first that a series has
  std::vector<std::string> route_labels = {"http_route", "route", "handler"};
  // Where there is no errors counter, requests whose status is 5xx are errors.
  std::vector<std::string> status_labels = {"http_response_status_code", "http_status_code",
                                            "status_code", "code", "status"};
};

// The names of a ratio of two counters (conversions of checkouts): what is counted as requests is
// the whole, as errors the part. The cells of such a feed are those of any other; whether many or
// few of the part are good is the judge's to know.
SeriesNames ratio_names(std::string total, std::string part, SeriesNames labels = {});

// Matchers of a cohort for everything that is counted: one selection reads all families.
std::vector<Matcher> request_matchers(const cohort::CohortSelector& cohort,
                                      const SeriesNames& names);

// Sorts what that selection gave into families. Labels are those of the embedded store
// (service_name, instance, http_route …). source: sent for counters, histogram for what is counted
// by a duration histogram; both are there where the source has both. A histogram's buckets at one
// moment become one sample; moments at which a bucket is missing are left out.
cohort::CohortFamilies request_families(const std::vector<promql::Series>& series,
                                        const SeriesNames& names);

// Leaves of each instance the best source that has requests (counters, else histogram), as the
// embedded store does.
void choose_sources(cohort::CohortFamilies& families);

} // namespace coalmine::datasource
