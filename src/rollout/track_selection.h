// Which telemetry is the canary's and which is stable's, where both selectors fit it. Pure; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "rollout/spec.h"
#include "telemetry/track.h"

namespace coalmine::rollout {

// All of `with`, and not `without`.
struct TrackSelection {
  AttributeSelector with;
  std::optional<std::pair<std::string, std::string>> without;
};

enum class Overlap {
  none,     // an attribute of both has different values
  excluded, // one track's telemetry is taken out of the other's
  open,     // more than one attribute is the canary's alone: what both select counts for both
};

// Telemetry belongs to one track. Where both selectors fit it, it is the canary's: a canary counted
// as stable hides its own failures. Only where the canary's selector fits all that stable's does is
// it stable's, because otherwise nothing would be left of stable.
struct TrackSelections {
  TrackSelection canary;
  TrackSelection stable;
  Overlap overlap = Overlap::none;
  const TrackSelection& of(Track track) const { return track == Track::canary ? canary : stable; }
};
TrackSelections select_tracks(const RolloutSpec& spec);

// "app.lane=blue and cloud.region=eu", for messages.
std::string to_text(const AttributeSelector& selector);

} // namespace coalmine::rollout
