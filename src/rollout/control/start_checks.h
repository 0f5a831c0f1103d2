// What is known to be wrong with a rollout before its first weight is set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "rollout/machine.h"
#include "rollout/seen_versions.h"
#include "route/router.h"

namespace coalmine::rollout {

// failed_precondition when both tracks would be the same version. guessed: the request named less
// than two versions.
Status check_versions(const event::Start& start, bool guessed);

// failed_precondition when the canary has most of the traffic now, as after a promotion: the first
// step would send it back to stable unseen.
Status check_no_traffic_yet(const route::Weight& now, const RolloutSpec& spec);

// One sentence on a version that none of the track's telemetry names; none when it is named, or
// not known. seen: nullopt when that cannot be known.
std::optional<std::string> unreported_version(Track track, const std::string& version,
                                              const std::optional<SeenVersions>& seen);

// One sentence on the first step that is over before three exports of metrics have come; none when
// there is no such step. interval_ms: between two exports; 0: unknown.
std::optional<std::string> short_step(const RolloutSpec& spec, std::int64_t interval_ms);

} // namespace coalmine::rollout
