// Counts of a cohort over a window, the input of a judge. They are counts, not rates: start times
// and resets are taken into account, and the first point of a new process counts in full.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cohort/durations.h"
#include "cohort/span_sampling.h"
#include "telemetry/cell.h"
#include "telemetry/failure_rule.h"
#include "telemetry/labels.h"

namespace coalmine::cohort {

// The telemetry that belongs to a cohort. Matchers over labels (service_name, deployment_track,
// service_version …).
struct CohortSelector {
  std::vector<Matcher> matchers;
  // Which statuses fail. The embedded store does not ask: it counts at arrival, by its own rules.
  FailureRule failures = {};
};

struct CohortRoute {
  std::string route;  // http.route; "" where the telemetry has none
  TrackCounts counts; // over the boundaries that all of this cohort's parts have
  // As they were measured, to be brought to boundaries that both cohorts have. Empty: counts is
  // all that is known.
  DurationCounts durations{};
};

struct CohortCounts {
  std::vector<CohortRoute> routes;    // by requests, most first
  std::vector<std::string> instances; // that reported in the window
  // First telemetry of the cohort ever seen, not only in the window; 0: none.
  std::int64_t first_ms = 0;
  std::int64_t last_ms = 0; // newest sample in the window; 0: none
  // False: nothing was ever received for this selector, which means "no data" and not "zero".
  bool any_series = false;
  // What shows whether spans are a sample of the requests; counted by them: some instance is
  // counted from spans.
  SamplingCounts sampling{};
  bool counted_by_spans = false;
};

// A source of counts: the embedded store or a remote server. Called on effect threads; thread-safe.
// unavailable: the store cannot be reached, which is not "no data".
class CohortSource {
 public:
  virtual ~CohortSource() = default;
  // Increments in (from_ms, to_ms].
  virtual Result<CohortCounts> counts(const CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const = 0;
  // How it looks as if requests of the cohort were counted twice, as a clause; "" when it does not.
  // May ask the source now and then.
  virtual std::string counted_twice(const CohortSelector&, std::int64_t /*to_ms*/) const {
    return {};
  }
  // The values that a label has on the request series of a cohort that report in the window, in
  // order. For messages: a source may know none.
  virtual std::vector<std::string> label_values(const CohortSelector&, const std::string& /*label*/,
                                                std::int64_t /*from_ms*/,
                                                std::int64_t /*to_ms*/) const {
    return {};
  }
  // The names of all metrics of a cohort in the window, in order, whatever they count. For
  // messages.
  virtual std::vector<std::string> metric_names(const CohortSelector&, std::int64_t /*from_ms*/,
                                                std::int64_t /*to_ms*/) const {
    return {};
  }
};

} // namespace coalmine::cohort
