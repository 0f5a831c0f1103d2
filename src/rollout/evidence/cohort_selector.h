// Which telemetry belongs to a track of a rollout. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cohort/cohorts.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// Label matchers of one track of a spec. version "" leaves the version open.
cohort::CohortSelector cohort_selector(const RolloutSpec& spec, Track track,
                                       const std::string& version);

} // namespace coalmine::rollout
