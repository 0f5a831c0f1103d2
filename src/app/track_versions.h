// Which versions a service's tracks are at, read off the telemetry that came in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cohort/cohorts.h"
#include "rollout/seen_versions.h"
#include "telemetry/presence.h"

namespace coalmine::app {

// What was seen of the track, the version that was first seen last first. A version reports while
// its next export is not overdue: two and a half intervals, between half a minute and ten, two
// minutes where the interval is unknown. By our clock, so that a track of which nothing comes any
// more has no version that reports. nullopt when the selector names an attribute that presence
// does not keep.
std::optional<rollout::SeenVersions> seen_versions(const rollout::RolloutSpec& spec, Track track,
                                                   const std::vector<Presence>& presence,
                                                   std::int64_t now_ms);

// As above of a store that is not ours: what it has of requests in the newest ten minutes. How
// often it is sent to is not known, so a version reports for two minutes. nullopt: the store does
// not answer. Blocks as long as it takes.
std::optional<rollout::SeenVersions> seen_versions(const rollout::RolloutSpec& spec, Track track,
                                                   const cohort::CohortSource& cohorts,
                                                   std::int64_t now_ms);

} // namespace coalmine::app
