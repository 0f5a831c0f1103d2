// The margin of an error rate for which nobody has named one. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "judge/plan/planned_step.h"
#include "judge/stats/linear_margin.h"

namespace coalmine::judge {

// Half of stable's own error rate, at least 0.2 and at most 0.5 percentage points, or 20 % of it
// where that is more. Where the plan's traffic could not show an equal canary to be within that
// (rps requests a second of both tracks; 0: unknown), it is widened to what can be shown, up to 0.5
// points, 0.8 points at rates of 1 % and more, or half of the rate. A widened margin is in points:
// where half of the requests are the canary's, a relative one takes several times as many requests
// to show. phi: the dispersion of errors.
RateMargin default_rate_margin(double stable_rate, std::span<const PlannedStep> plan, double rps,
                               double phi);

} // namespace coalmine::judge
