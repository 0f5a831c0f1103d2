// Turns the series of a Prometheus-like source into the three request families that every judge
// counts. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cohort/cohort_sums.h"
#include "promql/queryable.h"

namespace coalmine::datasource {

// The source's names of the counted metrics and labels. The defaults fit OpenTelemetry metrics
// written by Prometheus's own translation with resource attributes promoted (service.name ->
// service_name), the names of this program, and the semantic conventions.
struct SeriesNames {
  std::string requests = "http_server_request_total";
  std::string errors = "http_server_request_errors_total";
  // A classic histogram, without _bucket; the unit follows from the suffix: _seconds, _milliseconds
  // or, without one, from its bounds.
  std::vector<std::string> durations = {"http_server_request_duration",
                                        "http_server_request_duration_seconds",
                                        "http_server_request_duration_milliseconds"};
  std::string service_label = "service_name"; // job, app …
  // The first of these that a series has is used.
  std::vector<std::string> instance_labels = {"instance", "service_instance_id", "k8s_pod_name",
                                              "pod"};
  std::vector<std::string> route_labels = {"http_route", "route", "handler"};
  // If there is no errors counter, requests with a 5xx status are errors.
  std::vector<std::string> status_labels = {"http_response_status_code", "http_status_code",
                                            "status_code", "code", "status"};
};

// The names for a ratio of two counters (conversions of checkouts). The total is counted as
// requests and the part as errors. The cells of such a feed are ordinary cells. The judge knows
// whether a large or a small part is good.
SeriesNames ratio_names(std::string total, std::string part, SeriesNames labels = {});

// Matchers that select all counted metrics of a cohort, so that one selection reads all families.
std::vector<Matcher> request_matchers(const cohort::CohortSelector& cohort,
                                      const SeriesNames& names);

// Sorts the selected series into families. Labels are those of the embedded store (service_name,
// instance, http_route …). source is `sent` for counters and `histogram` for counts of a duration
// histogram. Both are returned if the source has both. A histogram's buckets at one moment become
// one sample. Moments with a missing bucket are left out.
cohort::CohortFamilies request_families(const std::vector<promql::Series>& series,
                                        const SeriesNames& names);

// Keeps only the best source with requests of each instance (counters, else histogram), as the
// embedded store does.
void choose_sources(cohort::CohortFamilies& families);

} // namespace coalmine::datasource
