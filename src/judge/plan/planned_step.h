// A step of a rollout as the judge and planning see it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coalmine::judge {

struct PlannedStep {
  double weight = 0;       // the canary's share of the requests, between 0 and 1
  double minutes = 0;      // before its gate may open
  double min_requests = 0; // of the canary in the step, before its gate may open
};

} // namespace coalmine::judge
