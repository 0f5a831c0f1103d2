// Counts of a cohort over a window: what the judge is fed. Counts, not rates: start times and
// resets handled, the first point of a new process counts in full.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "telemetry/cell.h"
#include "telemetry/labels.h"

namespace coalmine::cohort {

// Which telemetry belongs to a cohort. Matchers over labels (service_name, deployment_track,
// service_version …).
struct CohortSelector {
  std::vector<Matcher> matchers;
};

struct CohortRoute {
  std::string route; // http.route; "" where the telemetry has none
  TrackCounts counts;
};

struct CohortCounts {
  std::vector<CohortRoute> routes;    // by requests, most first
  std::vector<std::string> instances; // that reported in the window
  std::int64_t first_ms =
      0; // first telemetry of the cohort ever seen (not only in the window); 0: none
  std::int64_t last_ms = 0; // newest sample in the window; 0: none
  bool any_series =
      false; // false: nothing was ever received for this selector: "no data", not "zero"
};

// The same question to the embedded store and to remote servers. unavailable: the store cannot be
// reached, which is not "no data". Called on effect threads; thread-safe.
class CohortSource {
 public:
  virtual ~CohortSource() = default;
  // Increments in (from_ms, to_ms].
  virtual Result<CohortCounts> counts(const CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const = 0;
};

} // namespace coalmine::cohort
