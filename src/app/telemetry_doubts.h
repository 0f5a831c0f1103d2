// What the telemetry of a service says against a rollout that is to begin.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cohort/cohorts.h"
#include "rollout/spec.h"
#include "telemetry/presence.h"

namespace coalmine::app {

// The longest interval between metric exports of the processes that still report; 0: unknown.
std::int64_t export_interval_ms(std::string_view service, const std::vector<Presence>& presence,
                                std::int64_t now_ms);

// Sentences: a step that is too short for how often metrics come, metrics that count no requests.
std::vector<std::string> telemetry_doubts(const rollout::RolloutSpec& spec,
                                          const std::vector<Presence>& presence,
                                          const cohort::CohortSource& cohorts, std::int64_t now_ms);

} // namespace coalmine::app
