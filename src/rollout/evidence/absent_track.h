// Why a track has no telemetry although its service reports: which attribute has other values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cohort/cohorts.h"
#include "rollout/spec.h"
#include "telemetry/track.h"

namespace coalmine::rollout {

struct AbsenceRequest {
  std::string canary_version; // "" any
  std::string stable_version; // "" any
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};

// What is wrong with the selectors of the tracks that have no request in the window, in words:
// "nothing of shop has app.lane=canary: app.lane is blue or green"; or that what a track sends
// counts no requests. "" where both tracks report, or the service sends nothing at all. Blocks as
// long as the source does; never fails.
std::string explain_absence(const RolloutSpec& spec, const AbsenceRequest& request,
                            const cohort::CohortSource& cohorts);

// Adds an explanation to a reason sentence; "" adds nothing.
void add_absence(const std::string& absence, std::string& reason);

} // namespace coalmine::rollout
