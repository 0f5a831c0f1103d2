// Routes of the config that no request has.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cohort/cohorts.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// One sentence that names the routes of routes.ignore and routes.critical that neither track has
// telemetry of, with some that there are; "" when every one is there, or no route is known. Pure.
std::string unmatched_routes(const RolloutSpec& spec, const cohort::CohortCounts& canary,
                             const cohort::CohortCounts& stable);

} // namespace coalmine::rollout
