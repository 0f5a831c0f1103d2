// Telemetry that comes and counts no requests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cohort/cohorts.h"

namespace coalmine::rollout {

// A sentence on a cohort that sends metrics of which none counts HTTP requests, as a Java agent
// does that does not know the HTTP server; "" when requests are counted, or nothing comes. whose:
// of whom it is said ("shop"). Blocks as long as the source does; never fails.
std::string explain_uncounted(std::string_view whose, const cohort::CohortSelector& cohort,
                              std::int64_t from_ms, std::int64_t to_ms,
                              const cohort::CohortSource& cohorts);

} // namespace coalmine::rollout
