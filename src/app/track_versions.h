// Which versions a service's tracks are at, read off the telemetry that came in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rollout/spec.h"
#include "store/store.h"
#include "telemetry/track.h"

namespace coalmine::app {

// The newest version of one track: among the versions that still report (within two minutes of the
// track's newest telemetry) the one that was first seen last. "" when none is known, or when the
// track is selected by an attribute that presence does not keep.
std::string newest_version(const rollout::RolloutSpec& spec, Track track,
                           const std::vector<Presence>& presence);

// The versions of the track that still report, likewise, the one that was first seen last first; ""
// among them where telemetry names none. nullopt when the selector names an attribute that presence
// does not keep.
std::optional<std::vector<std::string>> reported_versions(const rollout::RolloutSpec& spec,
                                                          Track track,
                                                          const std::vector<Presence>& presence);

} // namespace coalmine::app
