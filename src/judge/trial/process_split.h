// A made-up release: processes of stable play the canary. Both sides run the same version, so
// whatever is found worse there is not. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "telemetry/cell.h"

namespace coalmine::judge {

inline bool is_of_stable(const InstanceCounts& one) { return one.track == Track::stable; }

// The cell with these processes of stable as the canary, in place of the one that it had. In a
// baseline cell they do not exist, for a canary's process is new. Requests, errors (also by route)
// and durations are the processes' own. Cells do not have a process's 4xx answers, nor its
// durations by route: it gets them by its share of the requests. So every line of the judge has
// data, and these lines never differ. Metrics of the user's own stay as they were.
void play_canary(CountCell& cell, const std::set<std::string>& canary);

} // namespace coalmine::judge
